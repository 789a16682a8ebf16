// How many bytes a decode step moves, and how well: EL-attention over fp16, scaled down from
// BART-large with 320 sentences. The tables of docs/gpu.md are what this prints.
#include "device/trace/metered_step.hpp"

#include <iomanip>
#include <iostream>
#include <set>

namespace elbeam::device {
namespace {

using kernels::emulated::Traffic;

Traffic total(const std::string& array, bool writes) {
  Traffic sum;
  for (const auto& [key, traffic] : Tracer::instance().traffic.traffic()) {
    if (key.array == array && key.writes == writes) sum += traffic;
  }
  return sum;
}

void print_table() {
  std::cout << "| kernel | array | | requests | bytes/request | KiB asked of the cache | of memory "
               "| each byte once | used of 32 |\n";
  for (const auto& [key, t] : Tracer::instance().traffic.traffic()) {
    std::cout << "| " << key.kernel << " | " << (key.array.empty() ? "-" : key.array) << " | "
              << (key.writes ? "write" : "read") << " | " << t.requests << " | ";
    if (key.array == "shared") {
      std::cout << t.wavefronts << " wavefronts, " << t.ideal_wavefronts
                << " without conflicts |\n";
      continue;
    }
    std::cout << t.used_bytes / t.requests << " | " << t.moved_bytes / 1024 << " | "
              << t.memory_bytes / 1024 << " | " << t.floor_bytes / 1024 << " | " << std::fixed
              << std::setprecision(1)
              << 32.0 * static_cast<double>(t.used_bytes) / static_cast<double>(t.moved_bytes)
              << " |\n";
  }
}

// The second-level cache of an H100, 50 MB, beside the hidden states of 320 sentences of 1024
// tokens, 671 MB.
std::int64_t scaled_cache(const StepShape& shape) { return shape.hidden_bytes() * 3 / 40; }

double ratio(std::int64_t found, std::int64_t wanted) {
  return static_cast<double>(found) / static_cast<double>(wanted);
}

TEST(Traffic, StepReadsWhatItNeedsOnce) {
  const StepShape shape;
  MeteredStep step(shape);
  step.launch(scaled_cache(shape));
  print_table();
  const std::int64_t cross = total("hidden states", false).memory_bytes;
  const std::int64_t self = total("self cache", false).memory_bytes;
  const std::int64_t weights = total("weights", false).memory_bytes;
  const std::int64_t floor = shape.cross_floor() + shape.self_floor() + step.weight_bytes();
  std::cout << "hidden states " << cross << " of " << shape.cross_floor() << ", self cache " << self
            << " of " << shape.self_floor() << ", weights " << weights << " of "
            << step.weight_bytes() << " bytes\n";
  EXPECT_NEAR(ratio(cross, shape.cross_floor()), 1.0, 0.1);
  EXPECT_NEAR(ratio(self, shape.self_floor()), 1.0, 0.1);
  EXPECT_NEAR(ratio(weights, step.weight_bytes()), 1.0, 0.1);
  EXPECT_NEAR(ratio(cross + self + weights, floor), 1.0, 0.1);
}

// Without a cache the blocks that share a sentence's rows all count: the meter would see a launch
// order that does not bring them together.
TEST(Traffic, CacheIsWhatMakesItOnce) {
  StepShape shape;
  shape.sentences = 4;
  MeteredStep step(shape);
  step.launch(0);
  // The rows of a sentence are two blocks.
  EXPECT_EQ(total("hidden states", false).memory_bytes, 2 * shape.cross_floor());
}

// The lanes of a quarter of a warp read 16 bytes each, of 8 / lanes keys that follow each other.
TEST(Traffic, StagedRowsLieInDifferentBanks) {
  for (const kernels::GeometryShape& geometry : kernels::kGeometries) {
    for (const int size : {2, 4}) {
      const int columns = geometry.lanes * geometry.elements;
      const int stride =
          size * kernels::staged_stride(geometry.lanes, geometry.elements, columns, size);
      std::set<int> banks;
      for (int lane = 0; lane < 8; ++lane) {
        const int address = lane / geometry.lanes * stride + lane % geometry.lanes * 16;
        for (int word = 0; word < 4; ++word) banks.insert((address / 4 + word) % 32);
      }
      EXPECT_EQ(banks.size(), 32U) << geometry.lanes << " lanes, " << size << " bytes";
    }
  }
}

struct GeometryCase {
  Kind kind;
  std::int64_t dim;
  std::int64_t heads;
};

class GeometryTraffic : public testing::TestWithParam<GeometryCase> {};

// One case for each way that rows are spread over a warp.
TEST_P(GeometryTraffic, NoBankConflictsAndWholeSectors) {
  StepShape shape;
  shape.sentences = 1;
  shape.steps = 18;
  shape.layers = 1;
  shape.vocab = 8;
  shape.hidden = 8;
  shape.self_kind = shape.cross_kind = GetParam().kind;
  shape.dim = GetParam().dim;
  shape.heads = GetParam().heads;
  MeteredStep step(shape);
  step.launch(0);
  for (const auto& [key, traffic] : Tracer::instance().traffic.traffic()) {
    if (key.array == "shared" && key.kernel.ends_with("attention")) {
      std::cout << key.kernel << (key.writes ? " writes " : " reads ") << traffic.wavefronts
                << " wavefronts, " << traffic.ideal_wavefronts << " without conflicts\n";
      EXPECT_EQ(traffic.wavefronts, traffic.ideal_wavefronts) << key.kernel;
    }
  }
  for (const char* array : {"hidden states", "self cache"}) {
    const Traffic traffic = total(array, false);
    if (traffic.requests == 0) continue;  // multi-head attention has read the hidden states before
    EXPECT_GE(32.0 * ratio(traffic.used_bytes, traffic.moved_bytes), 28.0) << array;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, GeometryTraffic,
    testing::Values(GeometryCase{Kind::kMha, 64, 2}, GeometryCase{Kind::kMha, 128, 2},
                    GeometryCase{Kind::kEl, 128, 4}, GeometryCase{Kind::kEl, 256, 4},
                    GeometryCase{Kind::kEl, 512, 4}, GeometryCase{Kind::kEl, 768, 4},
                    GeometryCase{Kind::kEl, 1024, 4}),
    [](const testing::TestParamInfo<GeometryCase>& shape) {
      return std::string(shape.param.kind == Kind::kEl ? "el" : "mha") +
             std::to_string(shape.param.dim / (shape.param.kind == Kind::kEl ? 1 : 2));
    });

}  // namespace
}  // namespace elbeam::device
