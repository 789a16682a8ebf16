// Fails every test of its program whose kernels race, read what was not written, or access what
// lies beside their arrays.
#include "device/device_array.hpp"
#include "device/trace/tracer.hpp"

namespace elbeam::kernels::emulated {
namespace {

class NoRaces : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override {
    Tracer& tracer = Tracer::instance();
    tracer.races.clear();
    tracer.guard_bytes = kGuardBytes;
    tracer.accesses = 0;
    tracer.start();
  }
  void OnTestEnd(const testing::TestInfo& test) override {
    Tracer& tracer = Tracer::instance();
    tracer.stop();
    EXPECT_TRUE(tracer.races.reports().empty()) << to_text(tracer.races.reports());
    if (test.result()->Skipped()) return;
    EXPECT_GT(tracer.accesses, 0) << "nothing was traced";
  }
};

const bool installed = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new NoRaces);
  return true;
}();

}  // namespace
}  // namespace elbeam::kernels::emulated
