#include "kernels/cuda/cuda_launch.cuh"

namespace elbeam::kernels {

template const DeviceKernels<BFloat16>& cuda_kernels();

}  // namespace elbeam::kernels
