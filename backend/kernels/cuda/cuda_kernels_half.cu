#include "kernels/cuda/cuda_launch.cuh"

namespace elbeam::kernels {

template const DeviceKernels<Half>& cuda_kernels();

}  // namespace elbeam::kernels
