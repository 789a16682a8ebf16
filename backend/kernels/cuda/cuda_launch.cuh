// How a kernel of kernels/core is started on a CUDA device.
#pragma once

#include "base/check.hpp"
#include "kernels/core/table.hpp"
#include "kernels/cuda/cuda_kernels.hpp"

namespace elbeam::kernels {

inline void check_launch(cudaError_t status, const char* name) {
  ELBEAM_CHECK(status == cudaSuccess, ErrorCode::kDevice, "CUDA kernel ", name, ": ",
               cudaGetErrorString(status));
}

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kMaxThreads, Kernel::kMinBlocks)
    entry(const __grid_constant__ typename Kernel::Args args) {
  Kernel::run(args);
}

template <typename Kernel>
struct CudaStart {
  using Args = typename Kernel::Args;
  static constexpr int kPlainSharedBytes = 48 << 10;  // what a block may use without asking

  static void launch(const Args& args, const Launch& how) {
    if (how.shared_bytes > kPlainSharedBytes) {
      check_launch(cudaFuncSetAttribute(entry<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        how.shared_bytes),
                   Kernel::kName);
    }
    const dim3 grid(static_cast<unsigned>(how.grid_x), static_cast<unsigned>(how.grid_y),
                    static_cast<unsigned>(how.grid_z));
    entry<Kernel>
        <<<grid, static_cast<unsigned>(how.threads), static_cast<std::size_t>(how.shared_bytes),
           static_cast<cudaStream_t>(how.stream)>>>(args);
    check_launch(cudaGetLastError(), Kernel::kName);
  }
};

template <typename T>
const DeviceKernels<T>& cuda_kernels() {
  static const DeviceKernels<T> table = make_kernels<T, CudaStart>();
  return table;
}

}  // namespace elbeam::kernels
