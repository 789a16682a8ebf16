#include "model/layers.hpp"

#include "base/check.hpp"
#include "base/limits.hpp"

#include <algorithm>
#include <cmath>

namespace elbeam::model {
namespace {

constexpr std::int64_t kSinusoidalLimit = 100'000;  // SinusoidalPositionalEmbedding.max_positions

// fairseq/modules/sinusoidal_positional_embedding.py get_embedding, in float32 like torch.
template <typename T>
void sinusoidal_row(std::int64_t row, std::int64_t dim, T* out) {
  const std::int64_t half = dim / 2;
  const double step = std::log(10000.0) / static_cast<double>(half - 1);
  for (std::int64_t j = 0; j < half; ++j) {
    const float frequency = std::exp(static_cast<float>(j) * static_cast<float>(-step));
    const float angle = static_cast<float>(row) * frequency;
    out[j] = static_cast<T>(std::sin(angle));
    out[half + j] = static_cast<T>(std::cos(angle));
  }
  if (dim % 2 == 1) out[dim - 1] = T{0};
}

}  // namespace

template <typename T>
PositionTable<T>::PositionTable(TensorReader<T>& reader, const std::string& prefix, bool learned,
                                std::int64_t dim)
    : dim_(dim), limit_(kSinusoidalLimit) {
  if (!learned) return;
  const std::string name = prefix + ".embed_positions.weight";
  const std::int64_t rows = reader.extent(name, 2, 0);
  learned_ = reader.matrix(name, rows, dim);
  limit_ = std::max<std::int64_t>(0, rows - kPad - 1);
}

template <typename T>
std::shared_ptr<const T> PositionTable<T>::rows(std::int64_t positions) const {
  ELBEAM_INVARIANT(positions <= limit_);
  if (!learned_.empty()) return {std::shared_ptr<const T>(), learned_.data() + (kPad + 1) * dim_};
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::int64_t have = computed_ ? ssize(computed_->size()) / dim_ : 0;
  if (have < positions) {
    const std::int64_t want = std::min(limit_, std::max({positions, 2 * have, std::int64_t{64}}));
    auto table = std::make_shared<std::vector<T>>(usize(want * dim_));
    if (computed_) std::copy(computed_->begin(), computed_->end(), table->begin());
    for (std::int64_t p = have; p < want; ++p)
      sinusoidal_row(kPad + 1 + p, dim_, table->data() + p * dim_);
    computed_ = std::move(table);
  }
  return {computed_, computed_->data()};
}

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
Embedding<T>::Embedding(TensorReader<T>& reader, const std::string& prefix,
                        const TransformerConfig& config, const StackConfig& stack)
    : prefix_(prefix) {
  const std::string name = prefix + ".embed_tokens.weight";
  vocab_size_ = reader.extent(name, 2, 0);
  table_dim_ = reader.extent(name, 2, 1);
  ELBEAM_CHECK(vocab_size_ >= 4 && table_dim_ >= 1 && table_dim_ <= limits::kMaxModelWidth,
               ErrorCode::kModel, reader.path(), ": tensor ", quoted(name),
               " has impossible shape [", vocab_size_, ", ", table_dim_, "]");
  table_ = reader.matrix(name, vocab_size_, table_dim_);
  const std::string project = prefix + ".project_in_dim.weight";
  dim_ = reader.has(project) ? reader.extent(project, 2, 0) : table_dim_;
  if (reader.has(project)) {
    project_in_ = kernels::PackedMatrix<T>(reader.matrix(project, dim_, table_dim_).data(),
                                           table_dim_, dim_, table_dim_);
  }
  if (config.scale_embedding) {
    scale_ = static_cast<T>(std::sqrt(static_cast<double>(dim_)));
  }
  if (config.positional_embeddings) {
    ELBEAM_CHECK(stack.learned_positions || dim_ >= 4, ErrorCode::kModel, reader.path(),
                 ": sinusoidal positions need a width of 4 at least, got ", dim_);
    positions_ = std::make_unique<PositionTable<T>>(reader, prefix, stack.learned_positions, dim_);
  }
  const std::string norm = prefix + ".layernorm_embedding";
  if (reader.has(norm + ".weight")) norm_ = LayerNorm<T>(reader, norm, dim_);
}

template <typename T>
std::int64_t Embedding<T>::position_limit() const noexcept {
  return positions_ ? positions_->limit() : limits::kMaxSequenceLength;
}

template <typename T>
void Embedding<T>::apply(const Input& input, T* out, ThreadPool& pool) const {
  const std::int64_t rows = ssize(input.tokens.size());
  for (const std::int64_t token : input.tokens) {
    ELBEAM_CHECK(token >= 0 && token < vocab_size_, ErrorCode::kModel, "token id ", token,
                 " is outside the ", prefix_, "'s vocabulary of ", vocab_size_);
  }
  const std::int64_t last = *std::max_element(input.positions.begin(), input.positions.end());
  const std::shared_ptr<const T> positions = positions_ ? positions_->rows(last + 1) : nullptr;
  AlignedBuffer<T> narrow;
  if (project_in_.outputs() != 0) narrow.reserve(rows * table_dim_);
  T* scaled = project_in_.outputs() != 0 ? narrow.data() : out;
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* source = table_.data() + input.tokens[usize(r)] * table_dim_;
    for (std::int64_t i = 0; i < table_dim_; ++i) scaled[r * table_dim_ + i] = scale_ * source[i];
  }
  if (project_in_.outputs() != 0)
    project_in_.multiply({scaled, table_dim_}, rows, {out, dim_}, {}, pool);
  if (positions) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const T* position = positions.get() + input.positions[usize(r)] * dim_;
      for (std::int64_t i = 0; i < dim_; ++i) out[r * dim_ + i] += position[i];
    }
  }
  if (norm_.present()) norm_.apply(out, rows, out, pool);
}

template <typename T>
FeedForward<T>::FeedForward(TensorReader<T>& reader, const std::string& prefix, std::int64_t dim,
                            kernels::Activation activation)
    : dim_(dim), hidden_dim_(reader.extent(prefix + ".fc1.weight", 2, 0)), activation_(activation) {
  fc1_ = kernels::PackedMatrix<T>(reader.matrix(prefix + ".fc1.weight", hidden_dim_, dim).data(),
                                  dim, hidden_dim_, dim);
  fc2_ = kernels::PackedMatrix<T>(reader.matrix(prefix + ".fc2.weight", dim, hidden_dim_).data(),
                                  hidden_dim_, dim, hidden_dim_);
  bias1_ = reader.vector(prefix + ".fc1.bias", hidden_dim_);
  bias2_ = reader.vector(prefix + ".fc2.bias", dim);
}

template <typename T>
void FeedForward<T>::apply(const T* x, std::int64_t rows, T* residual_and_result,
                           AlignedBuffer<T>& hidden, ThreadPool& pool) const {
  hidden.reserve(checked_mul(rows, hidden_dim_));
  fc1_.multiply({x, dim_}, rows, {hidden.data(), hidden_dim_},
                {.bias = bias1_.data(), .activation = activation_}, pool);
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

template class PositionTable<float>;
template class PositionTable<double>;
template class LayerNorm<float>;
template class LayerNorm<double>;
template class Embedding<float>;
template class Embedding<double>;
template class FeedForward<float>;
template class FeedForward<double>;
template std::int64_t count_layers(const TensorReader<float>&, const std::string&);
template std::int64_t count_layers(const TensorReader<double>&, const std::string&);

}  // namespace elbeam::model
