// The pieces that encoder and decoder layers share: LayerNorm and the feed-forward block.
#pragma once

#include "base/aligned_buffer.hpp"
#include "base/thread_pool.hpp"
#include "kernels/packed_matrix.hpp"
#include "model/tensor_reader.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace elbeam::model {

template <typename T>
class LayerNorm {
 public:
  LayerNorm() = default;
  LayerNorm(TensorReader<T>& reader, const std::string& prefix, std::int64_t dim);

  bool present() const noexcept { return !gain_.empty(); }
  // y = LayerNorm(x), row by row; y may be x.
  void apply(const T* x, std::int64_t rows, T* y, ThreadPool& pool) const;

 private:
  std::span<const T> gain_;
  std::span<const T> bias_;
};

// A Linear without bias, packed; outputs() is 0 where the model has none of that name.
template <typename T>
kernels::PackedMatrix<T> load_linear(TensorReader<T>& reader, const std::string& name,
                                     std::int64_t inputs);

// y = w_resid * residual + fc2(norm(activation(fc1(x)))). The LayerNorm and the weights of the
// residual are NormFormer's (--scale-fc, --scale-resids) and rarely there.
template <typename T>
class FeedForward {
 public:
  FeedForward(TensorReader<T>& reader, const std::string& prefix, std::int64_t dim,
              kernels::Activation activation);

  // x may be the residual itself.
  void apply(const T* x, std::int64_t rows, T* residual_and_result, AlignedBuffer<T>& hidden,
             ThreadPool& pool) const;

 private:
  std::int64_t dim_;
  std::int64_t hidden_dim_;
  kernels::Activation activation_;
  kernels::PackedMatrix<T> fc1_, fc2_;
  std::span<const T> bias1_, bias2_;
  LayerNorm<T> inner_norm_;
  std::span<const T> residual_weights_;
};

// Number of layers "prefix.layers.<i>." in the file.
template <typename T>
std::int64_t count_layers(const TensorReader<T>& reader, const std::string& prefix);

}  // namespace elbeam::model
