// How a kernel of kernels/core is started on a CUDA device.
#pragma once

#include "base/check.hpp"
#include "kernels/core/table.hpp"
#include "kernels/cuda/cuda_kernels.hpp"

#include <cuda.h>

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

// The driver's function, asked for at run time: the driver's library is not linked.
inline auto tile_map_encoder() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
#if CUDART_VERSION >= 12050
  const cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found,
                                                              12000, cudaEnableDefault, &result);
#else
  const cudaError_t status =
      cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &result);
#endif
  check_launch(status, "cuTensorMapEncodeTiled");
  ELBEAM_CHECK(result == cudaDriverEntryPointSuccess, ErrorCode::kDevice,
               "CUDA: the driver has no cuTensorMapEncodeTiled");
  return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(found);
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
    if (how.cluster > 1) {
      launch_clusters(args, how, grid);
      return;
    }
    entry<Kernel>
        <<<grid, static_cast<unsigned>(how.threads), static_cast<std::size_t>(how.shared_bytes),
           static_cast<cudaStream_t>(how.stream)>>>(args);
    check_launch(cudaGetLastError(), Kernel::kName);
  }

  static TileMap tile_map(const TileMapSource& source) {
    static const auto encode = tile_map_encoder();
    static_assert(sizeof(CUtensorMap) == sizeof(TileMap) &&
                  alignof(CUtensorMap) <= alignof(TileMap));
    const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(source.columns),
                                 static_cast<cuuint64_t>(source.rows)};
    const cuuint64_t stride = static_cast<cuuint64_t>(source.stride_bytes);
    const cuuint32_t box[2] = {kBoxColumns, static_cast<cuuint32_t>(source.box_rows)};
    const cuuint32_t steps[2] = {1, 1};
    TileMap map{};
    const CUresult result =
        encode(reinterpret_cast<CUtensorMap*>(&map), CU_TENSOR_MAP_DATA_TYPE_UINT16, 2,
               const_cast<void*>(source.first), sizes, &stride, box, steps,
               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    ELBEAM_CHECK(result == CUDA_SUCCESS, ErrorCode::kDevice, "CUDA: no tile map of ", source.rows,
                 " rows of ", source.columns, " numbers (error ", static_cast<int>(result), ")");
    return map;
  }

 private:
  static void launch_clusters(const Args& args, const Launch& how, const dim3& grid) {
    cudaLaunchAttribute cluster{};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = static_cast<unsigned>(how.cluster);
    cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = dim3(static_cast<unsigned>(how.threads));
    config.dynamicSmemBytes = static_cast<std::size_t>(how.shared_bytes);
    config.stream = static_cast<cudaStream_t>(how.stream);
    config.attrs = &cluster;
    config.numAttrs = 1;
    check_launch(cudaLaunchKernelEx(&config, entry<Kernel>, args), Kernel::kName);
  }
};

template <typename T>
const DeviceKernels<T>& cuda_kernels() {
  static const DeviceKernels<T> table = make_kernels<T, CudaStart>();
  return table;
}

}  // namespace elbeam::kernels
