#include "kernels/emulated/emulated_launch.hpp"

namespace elbeam::kernels {

template const DeviceKernels<Half>& emulated_kernels();

}  // namespace elbeam::kernels
