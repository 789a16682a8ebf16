// The device's kernels, compiled by nvcc. See device_kernels.hpp.
#include "base/check.hpp"
#include "kernels/core/table.hpp"
#include "kernels/cuda/cuda_kernels.hpp"

namespace elbeam::kernels {
namespace {

// What a block may use without asking.
constexpr int kPlainSharedBytes = 48 << 10;

void check(cudaError_t status, const char* name) {
  ELBEAM_CHECK(status == cudaSuccess, ErrorCode::kDevice, "CUDA kernel ", name, ": ",
               cudaGetErrorString(status));
}

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kMaxThreads) entry(const typename Kernel::Args args) {
  Kernel::run(args);
}

template <typename Kernel>
struct Start {
  using Args = typename Kernel::Args;
  static void launch(const Args& args, const Launch& how) {
    if (how.shared_bytes > kPlainSharedBytes) {
      check(cudaFuncSetAttribute(entry<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 how.shared_bytes),
            Kernel::kName);
    }
    const dim3 grid(static_cast<unsigned>(how.grid_x), static_cast<unsigned>(how.grid_y),
                    static_cast<unsigned>(how.grid_z));
    entry<Kernel>
        <<<grid, static_cast<unsigned>(how.threads), static_cast<std::size_t>(how.shared_bytes),
           static_cast<cudaStream_t>(how.stream)>>>(args);
    check(cudaGetLastError(), Kernel::kName);
  }
};

}  // namespace

template <typename T>
const DeviceKernels<T>& cuda_kernels() {
  static const DeviceKernels<T> table = make_kernels<T, Start>();
  return table;
}
template const DeviceKernels<float>& cuda_kernels();
template const DeviceKernels<Half>& cuda_kernels();

const SearchKernels& cuda_search_kernels() {
  static const SearchKernels table = make_search_kernels<Start>();
  return table;
}

}  // namespace elbeam::kernels
