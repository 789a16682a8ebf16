// The table of kernels of CUDA devices; only in builds with ELBEAM_CUDA. See device_kernels.hpp.
#pragma once

#include "kernels/device_kernels.hpp"

namespace elbeam::kernels {

// A file for each T: float, Half and BFloat16.
template <typename T>
const DeviceKernels<T>& cuda_kernels();
const SearchKernels& cuda_search_kernels();
// Whether DeviceKernels::warpgroup is there for GPUs of compute capability 9.0: sm_90a is among
// what the build is for.
bool compiled_for_warpgroups();

}  // namespace elbeam::kernels
