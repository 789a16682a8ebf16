// The device's kernels, compiled for the emulated machine.
#include "base/check.hpp"
#include "kernels/core/table.hpp"

namespace elbeam::kernels {
namespace {

template <typename Kernel>
struct Start {
  using Args = typename Kernel::Args;
  static void launch(const Args& args, const Launch& how) {
    if (!emulated::record([args, how] { run(args, how); })) run(args, how);
  }

 private:
  static void run(const Args& args, const Launch& how) {
    const emulated::LaunchShape shape{
        Kernel::kName, {how.grid_x, how.grid_y, how.grid_z}, how.threads, how.shared_bytes};
    if (how.threads > Kernel::kMaxThreads)
      fail(ErrorCode::kInternal, Kernel::kName, ": a block of ", how.threads, " threads");
    emulated::run_grid(
        shape, [](const void* data) { Kernel::run(*static_cast<const Args*>(data)); }, &args);
  }
};

}  // namespace

template <typename T>
const DeviceKernels<T>& emulated_kernels() {
  static const DeviceKernels<T> table = make_kernels<T, Start>();
  return table;
}
template const DeviceKernels<float>& emulated_kernels();
template const DeviceKernels<Half>& emulated_kernels();
template const DeviceKernels<BFloat16>& emulated_kernels();

const SearchKernels& emulated_search_kernels() {
  static const SearchKernels table = make_search_kernels<Start>();
  return table;
}

}  // namespace elbeam::kernels
