#include "kernels/emulated/emulated_launch.hpp"

namespace elbeam::kernels {

const SearchKernels& emulated_search_kernels() {
  static const SearchKernels table = make_search_kernels<EmulatedStart>();
  return table;
}

}  // namespace elbeam::kernels
