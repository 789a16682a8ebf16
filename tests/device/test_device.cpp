#include "device/test_device.hpp"

#include "base/check.hpp"
#include "kernels/emulated/machine.hpp"
#if defined(ELBEAM_WITH_CUDA)
#include "kernels/cuda/cuda_kernels.hpp"

#include <cuda_runtime_api.h>
#endif

#include <cstdlib>
#include <cstring>
#include <string>

namespace elbeam::kernels::under_test {
namespace {

bool choose_device() {
  const char* name = std::getenv("ELBEAM_TEST_DEVICE");
  if (name == nullptr || std::strcmp(name, "cuda-emulated") == 0) return false;
#if defined(ELBEAM_WITH_CUDA)
  const std::string text = name;
  if (text == "cuda" || text.starts_with("cuda:")) {
    const int number = text == "cuda" ? 0 : std::atoi(text.c_str() + 5);
    const cudaError_t status = cudaSetDevice(number);
    ELBEAM_CHECK(status == cudaSuccess, ErrorCode::kDevice, "ELBEAM_TEST_DEVICE=", name, ": ",
                 cudaGetErrorString(status));
    return true;
  }
#endif
  fail(ErrorCode::kUsage, "ELBEAM_TEST_DEVICE=", name, ": this program cannot test that device");
}

bool on_cuda() {
  static const bool chosen = choose_device();
  return chosen;
}

#if defined(ELBEAM_WITH_CUDA)
void check(cudaError_t status) {
  ELBEAM_CHECK(status == cudaSuccess, ErrorCode::kDevice, "CUDA: ", cudaGetErrorString(status));
}
#endif

}  // namespace

void* allocate(std::int64_t bytes) {
#if defined(ELBEAM_WITH_CUDA)
  if (on_cuda()) {
    void* memory = nullptr;
    check(cudaMallocManaged(&memory, static_cast<std::size_t>(bytes)));
    std::memset(memory, 0xff, static_cast<std::size_t>(bytes));
    return memory;
  }
#endif
  static_cast<void>(on_cuda());
  return emulated::allocate(bytes);
}

void release(void* memory) noexcept {
#if defined(ELBEAM_WITH_CUDA)
  if (on_cuda()) {
    cudaFree(memory);
    return;
  }
#endif
  emulated::release(memory);
}

void finish() {
#if defined(ELBEAM_WITH_CUDA)
  if (on_cuda()) check(cudaDeviceSynchronize());
#endif
}

void set_schedule(int schedule) { emulated::set_schedule(schedule); }

bool has_warpgroups() {
#if defined(ELBEAM_WITH_CUDA)
  if (on_cuda()) {
    int device = 0;
    int major = 0;
    check(cudaGetDevice(&device));
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    return major == 9 && compiled_for_warpgroups();
  }
#endif
  return true;
}

template <typename T>
const DeviceKernels<T>& kernels() {
#if defined(ELBEAM_WITH_CUDA)
  if (on_cuda()) return cuda_kernels<T>();
#endif
  return emulated_kernels<T>();
}
template const DeviceKernels<float>& kernels();
template const DeviceKernels<Half>& kernels();
template const DeviceKernels<BFloat16>& kernels();

const SearchKernels& search_kernels() {
#if defined(ELBEAM_WITH_CUDA)
  if (on_cuda()) return cuda_search_kernels();
#endif
  return emulated_search_kernels();
}

}  // namespace elbeam::kernels::under_test
