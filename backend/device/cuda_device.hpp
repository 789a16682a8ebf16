// CUDA devices; only in builds with ELBEAM_CUDA.
#pragma once

#include "device/device.hpp"

namespace elbeam::device {

// Throws Error(kDevice) as choose_cuda_device() does.
std::shared_ptr<Device> make_cuda_device(int number);
std::string cuda_build_text();  // "CUDA 13.0 for sm_80 sm_90"

}  // namespace elbeam::device
