// The tracer sees each kind of mistake, and none where there is none.
#include "device/trace/tracer.hpp"

#include "device/device_array.hpp"
#include "device/trace/planted_races.hpp"
#include "kernels/emulated/machine.hpp"

#include <cstring>
#include <optional>
#include <set>

namespace elbeam::kernels {
namespace {

using emulated::Fault;
using emulated::Tracer;

struct PlantedCase {
  const char* name;
  PlantedKernel kernel;
  std::optional<Fault> wanted;
  bool async = false;  // of sm_90
  std::optional<Fault> or_else = std::nullopt;
};

class PlantedRaces : public testing::TestWithParam<PlantedCase> {};

TEST_P(PlantedRaces, AreSeenUnderEverySchedule) {
  Tracer& tracer = Tracer::instance();
  tracer.guard_bytes = kGuardBytes;
  for (int schedule = 0; schedule < 6; ++schedule) {
    DeviceArray<float> numbers(std::vector<float>(64, 1.0F)), out(64);
    PlantedArgs args{numbers.data(), out.data()};
    DeviceArray<std::uint16_t> halves(std::vector<std::uint16_t>(8 * 64));
    const TileMapSource tile{halves.data(), 64, 8, 128, 8};
    std::memcpy(args.map.words, &tile, sizeof tile);
    const bool async = GetParam().async;
    tracer.races.clear();
    tracer.start();
    emulated::set_schedule(schedule);
    emulated::run_grid(
        {GetParam().name, {2, 1, 1}, async ? 128 : 64, async ? 4096 : 1024, async ? 2 : 1},
        GetParam().kernel, &args);
    emulated::set_schedule(0);
    tracer.stop();
    std::set<Fault> found;
    for (const auto& [key, report] : tracer.races.reports()) found.insert(std::get<0>(key));
    // What is not ordered may also be read before it is written.
    const auto& [name, kernel, wanted, of_sm_90, or_else] = GetParam();
    EXPECT_TRUE(wanted ? found.contains(*wanted) || (or_else && found.contains(*or_else))
                       : found.empty())
        << "schedule " << schedule << ": " << to_text(tracer.races.reports());
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, PlantedRaces,
    testing::Values(
        PlantedCase{"correct", planted::correct, std::nullopt},
        PlantedCase{"missing_block_barrier", planted::missing_block_barrier, Fault::kThreads},
        PlantedCase{"missing_barrier_before_reuse", planted::missing_barrier_before_reuse,
                    Fault::kThreads},
        PlantedCase{"missing_warp_barrier", planted::missing_warp_barrier, Fault::kThreads},
        PlantedCase{"shuffle_is_no_barrier", planted::shuffle_is_no_barrier, Fault::kThreads},
        PlantedCase{"write_by_all", planted::write_by_all, Fault::kThreads},
        PlantedCase{"blocks_write", planted::blocks_write, Fault::kBlocks},
        PlantedCase{"block_reads_what_another_writes", planted::block_reads_what_another_writes,
                    Fault::kBlocks},
        PlantedCase{"copy_without_wait", planted::copy_without_wait, Fault::kInFlight},
        PlantedCase{"wait_without_barrier", planted::wait_without_barrier, Fault::kThreads},
        PlantedCase{"copy_over_what_is_read", planted::copy_over_what_is_read, Fault::kThreads},
        PlantedCase{"reads_uninitialised", planted::reads_uninitialised, Fault::kUninitialised},
        PlantedCase{"reads_beside", planted::reads_beside, Fault::kGuard},
        PlantedCase{"correct_async", planted::correct_async, std::nullopt, true},
        PlantedCase{"product_without_fence", planted::product_without_fence, Fault::kUnfenced,
                    true},
        PlantedCase{"bulk_copy_without_fence", planted::bulk_copy_without_fence, Fault::kUnfenced,
                    true},
        PlantedCase{"bulk_copy_without_wait", planted::bulk_copy_without_wait, Fault::kThreads,
                    true},
        PlantedCase{"bulk_copy_over_a_product", planted::bulk_copy_over_a_product, Fault::kInFlight,
                    true, Fault::kThreads},
        PlantedCase{"peer_without_barrier", planted::peer_without_barrier, Fault::kThreads, true},
        PlantedCase{"peer_reused_at_once", planted::peer_reused_at_once, Fault::kThreads, true}),
    [](const testing::TestParamInfo<PlantedCase>& planted) {
      return std::string(planted.param.name);
    });

}  // namespace
}  // namespace elbeam::kernels
