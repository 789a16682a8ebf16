// The emulated CUDA device: kernels on a machine of fibers, products by the CPU's own kernels.
#pragma once

#include "device/device.hpp"

namespace elbeam::device {

std::shared_ptr<Device> make_emulated_device();

}  // namespace elbeam::device
