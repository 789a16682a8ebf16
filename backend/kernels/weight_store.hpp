// Where the weights of a model come from, in the forms in which it reads them.
#pragma once

#include "base/shared_array.hpp"
#include "kernels/packed_matrix.hpp"

#include <cstdint>
#include <functional>
#include <string>

namespace elbeam::kernels {

// This one makes everything anew; others keep in a file what was made, and find it there. A name
// means the same numbers in every run of a model. Thread-safe unless a store says otherwise.
template <typename T>
class WeightStore {
 public:
  WeightStore() = default;
  virtual ~WeightStore() = default;
  WeightStore(const WeightStore&) = delete;
  WeightStore& operator=(const WeightStore&) = delete;

  using Pack = std::function<PackedMatrix<T>()>;
  virtual PackedMatrix<T> matrix(const std::string& /*name*/, MatrixShape /*shape*/,
                                 const Pack& pack) {
    return pack();
  }

  using Read = std::function<SharedArray<T>()>;
  virtual SharedArray<T> array(const std::string& /*name*/, std::int64_t /*size*/,
                               const Read& read) {
    return read();
  }
};

}  // namespace elbeam::kernels
