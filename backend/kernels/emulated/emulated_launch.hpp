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
  // Refuses what cuTensorMapEncodeTiled refuses.
  static TileMap tile_map(const TileMapSource& source) {
    const auto first = reinterpret_cast<std::uintptr_t>(source.first);
    if (first % 16 != 0 || source.stride_bytes % 16 != 0 || source.columns < 1 || source.rows < 1 ||
        source.box_rows < 1 || source.box_rows > 256)
      fail(ErrorCode::kInternal, Kernel::kName, ": no tile map of ", source.rows, " rows of ",
           source.columns, " numbers, ", source.stride_bytes, " bytes apart");
    TileMap map{};
    memcpy(map.words, &source, sizeof source);
    return map;
  }

 private:
  static void run(const Args& args, const Launch& how) {
    const emulated::LaunchShape shape{Kernel::kName,
                                      {how.grid_x, how.grid_y, how.grid_z},
                                      how.threads,
                                      how.shared_bytes,
                                      how.cluster};
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
