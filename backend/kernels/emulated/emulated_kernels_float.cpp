#include "kernels/emulated/emulated_launch.hpp"

namespace elbeam::kernels {

template const DeviceKernels<float>& emulated_kernels();

}  // namespace elbeam::kernels
