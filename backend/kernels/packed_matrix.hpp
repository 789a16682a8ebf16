// A weight matrix in the layout that the packed product reads, and the product on a thread pool.
#pragma once

#include "base/aligned_buffer.hpp"
#include "base/thread_pool.hpp"
#include "kernels/kernels.hpp"

#include <cstdint>

namespace elbeam::kernels {

// Immutable after construction; shared by threads freely.
template <typename T>
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // Packs weight [n, k] with row stride ld (a torch Linear weight: n outputs, k inputs).
  PackedMatrix(const T* weight, std::int64_t ld, std::int64_t n, std::int64_t k);

  std::int64_t outputs() const noexcept { return n_; }
  std::int64_t inputs() const noexcept { return k_; }
  std::int64_t bytes() const noexcept { return packed_.bytes(); }

  // What a product adds to a packed weight: bias [n] or nullptr, activation, residual.
  struct Epilogue {
    const T* bias = nullptr;
    Activation activation = Activation::kNone;
    const T* residual = nullptr;  // row stride as c's
  };
  struct Operand {
    const T* data;
    std::int64_t ld;
  };
  struct Result {
    T* data;
    std::int64_t ld;
  };

  // c [m, n] = activation(a [m, k] W^T + bias) + residual; columns are shared out to the pool.
  void multiply(Operand a, std::int64_t m, Result c, const Epilogue& epilogue,
                ThreadPool& pool) const;
  // The same on the calling thread.
  void multiply(Operand a, std::int64_t m, Result c, const Epilogue& epilogue) const;

 private:
  PackedGemm<T> describe(Operand a, std::int64_t m, Result c, const Epilogue& epilogue) const;
  std::int64_t panels() const;

  std::int64_t n_ = 0;
  std::int64_t k_ = 0;
  AlignedBuffer<T> packed_;
};

}  // namespace elbeam::kernels
