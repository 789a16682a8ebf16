// How many blocks of an attention kernel share a multiprocessor, by NVIDIA's own header-only
// calculator (cuda_occupancy.h of the toolkit): report.py compiles and runs it; no CUDA library and
// no GPU.
//
// Reads lines "GPU KIND ELEMENT WIDTH ROWS REGISTERS", GPU 80 (A100) or 90 (H100), KIND el,
// warpgroup or mha, and writes "threads shared_bytes blocks warps_in_64" for each.
#include "kernels/launch_plan.hpp"

#include <cuda_occupancy.h>

#include <iostream>
#include <string>

namespace {

using namespace elbeam::kernels;

// Published limits of the compute capabilities (CUDA programming guide).
cudaOccDeviceProp properties(int capability) {
  cudaOccDeviceProp device;
  device.computeMajor = capability / 10;
  device.computeMinor = capability % 10;
  device.maxThreadsPerBlock = 1024;
  device.maxThreadsPerMultiprocessor = 2048;
  device.regsPerBlock = device.regsPerMultiprocessor = 65536;
  device.warpSize = 32;
  device.sharedMemPerBlock = 48 << 10;
  device.sharedMemPerMultiprocessor = static_cast<std::size_t>(capability == 80 ? 164 : 228) << 10;
  device.sharedMemPerBlockOptin = static_cast<std::size_t>(capability == 80 ? 163 : 227) << 10;
  device.reservedSharedMemPerBlock = 1 << 10;
  device.numSms = capability == 80 ? 108 : 132;
  return device;
}

void report(int capability, bool warpgroups, const AttentionShape& shape, int registers) {
  const cudaOccDeviceProp device = properties(capability);
  DeviceLimits limits;
  limits.shared_bytes = static_cast<int>(device.sharedMemPerBlockOptin) / 2 - 1024;
  limits.all_shared_bytes = static_cast<int>(device.sharedMemPerBlockOptin);
  limits.tensor_cores = true;
  limits.warpgroups = warpgroups;
  const AttentionPlan plan = plan_contiguous(shape, limits);
  cudaOccFuncAttributes kernel;
  kernel.maxThreadsPerBlock = plan.warps * 32;
  kernel.numRegs = registers;
  kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
  kernel.maxDynamicSharedSizeBytes = static_cast<std::size_t>(plan.shared_bytes);
  cudaOccDeviceState state;
  state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
  cudaOccResult result;
  const cudaOccError status =
      cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, plan.warps * 32,
                                              static_cast<std::size_t>(plan.shared_bytes));
  if (status != CUDA_OCC_SUCCESS) throw std::runtime_error("cuda_occupancy.h: no answer");
  std::cout << plan.warps * 32 << ' ' << plan.shared_bytes << ' '
            << result.activeBlocksPerMultiprocessor << ' '
            << result.activeBlocksPerMultiprocessor * plan.warps << '\n';
}

}  // namespace

int main() {
  int capability = 0;
  std::string kind;
  AttentionShape shape;
  int registers = 0;
  while (std::cin >> capability >> kind >> shape.element_size >> shape.width >> shape.query_rows >>
         registers) {
    shape.one_copy = kind != "mha";
    shape.histories = 4;
    report(capability, kind == "warpgroup", shape, registers);
  }
}
