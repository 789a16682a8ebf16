// How a kernel of kernels/core is started on the emulated machine.
#pragma once

#include "base/check.hpp"
#include "kernels/core/table.hpp"

namespace elbeam::kernels {

template <typename Kernel>
struct EmulatedStart {
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

template <typename T>
const DeviceKernels<T>& emulated_kernels() {
  static const DeviceKernels<T> table = make_kernels<T, EmulatedStart>();
  return table;
}

}  // namespace elbeam::kernels
