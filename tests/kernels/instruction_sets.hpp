// What the tests of kernels have in common.
#pragma once

#include "kernels/kernels.hpp"

#include <cstdint>
#include <limits>
#include <vector>

namespace elbeam::kernels {

// Those that this processor has.
inline std::vector<Isa> supported() {
  std::vector<Isa> all;
  for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) {
    if (isa_supported(isa)) all.push_back(isa);
  }
  return all;
}

// Products of n(0, 1) numbers of depth k are off by about eps * sqrt(k) * |terms|.
template <typename T>
double tolerance(std::int64_t k) {
  return std::numeric_limits<T>::epsilon() * 8.0 * static_cast<double>(k + 4);
}

}  // namespace elbeam::kernels
