// The table of kernels of CUDA devices; only in builds with ELBEAM_CUDA.
#pragma once

#include "kernels/device_kernels.hpp"

namespace elbeam::kernels {

template <typename T>
const DeviceKernels<T>& cuda_kernels();
const SearchKernels& cuda_search_kernels();

}  // namespace elbeam::kernels
