// The emulated CUDA device: kernels on a machine of fibers, products by the CPU's own kernels.
#pragma once

#include "device/device.hpp"

namespace elbeam::device {

// A second-level cache so small that small tests go through their rows in slices.
inline constexpr std::int64_t kEmulatedCacheBytes = 512 << 10;

// Takes the kernels of that compute capability, 80 or 90.
std::shared_ptr<Device> make_emulated_device(int like = 80,
                                             std::int64_t cache_bytes = kEmulatedCacheBytes);

}  // namespace elbeam::device
