#include "kernels/emulated/emulated_launch.hpp"

namespace elbeam::kernels {

template const DeviceKernels<BFloat16>& emulated_kernels();

}  // namespace elbeam::kernels
