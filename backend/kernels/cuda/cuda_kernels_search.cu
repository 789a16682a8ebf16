#include "kernels/cuda/cuda_launch.cuh"

namespace elbeam::kernels {

const SearchKernels& cuda_search_kernels() {
  static const SearchKernels table = make_search_kernels<CudaStart>();
  return table;
}

bool compiled_for_warpgroups() {
#if defined(ELBEAM_CUDA_WARPGROUPS)
  return true;
#else
  return false;
#endif
}

}  // namespace elbeam::kernels
