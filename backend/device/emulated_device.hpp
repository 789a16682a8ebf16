// The emulated CUDA device: kernels on a machine of fibers, products by the CPU's own kernels.
#pragma once

#include "device/device.hpp"

namespace elbeam::device {

// Takes the kernels of that compute capability, 80 or 90.
std::shared_ptr<Device> make_emulated_device(int like = 80);

}  // namespace elbeam::device
