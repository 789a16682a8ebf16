#include "kernels/cuda/cuda_launch.cuh"

namespace elbeam::kernels {

const SearchKernels& cuda_search_kernels() {
  static const SearchKernels table = make_search_kernels<CudaStart>();
  return table;
}

}  // namespace elbeam::kernels
