#include "model/layers.hpp"

#include "base/check.hpp"
#include "base/limits.hpp"

#include <algorithm>

namespace elbeam::model {

template <typename T>
LayerNorm<T>::LayerNorm(TensorReader<T>& reader, const std::string& prefix, std::int64_t dim)
    : gain_(reader.vector(prefix + ".weight", dim)), bias_(reader.vector(prefix + ".bias", dim)) {}

template <typename T>
void LayerNorm<T>::apply(const T* x, std::int64_t rows, T* y, ThreadPool& pool) const {
  constexpr std::int64_t kBlock = 16;
  const std::int64_t dim = ssize(gain_.size());
  pool.parallel_for((rows + kBlock - 1) / kBlock, [&](std::int64_t block) {
    const std::int64_t end = std::min(rows, (block + 1) * kBlock);
    for (std::int64_t r = block * kBlock; r < end; ++r) {
      kernels::kernels<T>().layer_norm(x + r * dim, gain_.data(), bias_.data(), dim, y + r * dim);
    }
  });
}

template <typename T>
kernels::PackedMatrix<T> load_linear(TensorReader<T>& reader, const std::string& name,
                                     std::int64_t inputs) {
  if (!reader.has(name + ".weight")) return {};
  const std::int64_t outputs = reader.extent(name + ".weight", 2, 0);
  return reader.packed(name + ".weight", outputs, inputs);
}

template <typename T>
FeedForward<T>::FeedForward(TensorReader<T>& reader, const std::string& prefix, std::int64_t dim,
                            kernels::Activation activation)
    : dim_(dim), hidden_dim_(reader.extent(prefix + ".fc1.weight", 2, 0)), activation_(activation) {
  fc1_ = reader.packed(prefix + ".fc1.weight", hidden_dim_, dim);
  fc2_ = reader.packed(prefix + ".fc2.weight", dim, hidden_dim_);
  bias1_ = reader.vector(prefix + ".fc1.bias", hidden_dim_);
  bias2_ = reader.vector(prefix + ".fc2.bias", dim);
  const std::string norm = prefix + ".ffn_layernorm";
  if (reader.has(norm + ".weight")) inner_norm_ = LayerNorm<T>(reader, norm, hidden_dim_);
  residual_weights_ = reader.optional_vector(prefix + ".w_resid", dim);
}

template <typename T>
void FeedForward<T>::apply(const T* x, std::int64_t rows, T* residual_and_result,
                           AlignedBuffer<T>& hidden, ThreadPool& pool) const {
  hidden.reserve(checked_mul(rows, hidden_dim_));
  fc1_.multiply({x, dim_}, rows, {hidden.data(), hidden_dim_},
                {.bias = bias1_.data(), .activation = activation_}, pool);
  if (inner_norm_.present()) inner_norm_.apply(hidden.data(), rows, hidden.data(), pool);
  if (!residual_weights_.empty()) {  // x has been read: it may be the residual
    for (std::int64_t r = 0; r < rows; ++r) {
      T* row = residual_and_result + r * dim_;
      for (std::int64_t i = 0; i < dim_; ++i) row[i] *= residual_weights_[usize(i)];
    }
  }
  fc2_.multiply({hidden.data(), hidden_dim_}, rows, {residual_and_result, dim_},
                {.bias = bias2_.data(), .residual = residual_and_result}, pool);
}

template <typename T>
std::int64_t count_layers(const TensorReader<T>& reader, const std::string& prefix) {
  std::int64_t layers = 0;
  while (layers <= limits::kMaxLayers &&
         reader.has(concat(prefix, ".layers.", layers, ".fc1.weight"))) {
    ++layers;
  }
  ELBEAM_CHECK(layers >= 1 && layers <= limits::kMaxLayers, ErrorCode::kModel, reader.path(),
               ": expected 1 to ", limits::kMaxLayers, " layers ", prefix, ".layers.N, found ",
               layers);
  return layers;
}

template class LayerNorm<float>;
template class LayerNorm<double>;
template class FeedForward<float>;
template class FeedForward<double>;
template kernels::PackedMatrix<float> load_linear(TensorReader<float>&, const std::string&,
                                                  std::int64_t);
template kernels::PackedMatrix<double> load_linear(TensorReader<double>&, const std::string&,
                                                   std::int64_t);
template std::int64_t count_layers(const TensorReader<float>&, const std::string&);
template std::int64_t count_layers(const TensorReader<double>&, const std::string&);

}  // namespace elbeam::model
