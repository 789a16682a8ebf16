#include "model/embedding.hpp"

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

// x [rows, dim] = x W^T, where there is such a matrix.
template <typename T>
void multiply_in_place(const kernels::PackedMatrix<T>& matrix, std::int64_t rows, T* x,
                       ThreadPool& pool) {
  if (matrix.outputs() == 0) return;
  const std::int64_t dim = matrix.outputs();
  AlignedBuffer<T> result(checked_mul(rows, dim));
  matrix.multiply({x, dim}, rows, {result.data(), dim}, {}, pool);
  std::copy_n(result.data(), rows * dim, x);
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
TokenTable<T>::TokenTable(TensorReader<T>& reader, const std::string& prefix) {
  if (reader.has(prefix + ".weight")) {
    bands_.push_back(load_band(reader, prefix + ".weight", 0));
    dim_ = bands_.back().width;
  } else {
    const std::string first = prefix + ".embeddings.0.1.weight";
    ELBEAM_CHECK(reader.has(first), ErrorCode::kModel, reader.path(), ": tensor ",
                 quoted(prefix + ".weight", 200), " is missing");
    dim_ = reader.extent(first, 2, 0);
    for (std::int64_t i = 0; reader.has(concat(prefix, ".embeddings.", i, ".0.weight")); ++i) {
      const std::string band = concat(prefix, ".embeddings.", i);
      bands_.push_back(
          load_band(reader, band + ".0.weight", bands_.empty() ? 0 : bands_.back().end));
      const std::int64_t width = bands_.back().width;
      bands_.back().project = reader.packed(band + ".1.weight", dim_, width);
    }
  }
  ELBEAM_CHECK(!bands_.empty() && vocab_size() >= 4 && dim_ >= 1 && dim_ <= limits::kMaxModelWidth,
               ErrorCode::kModel, reader.path(), ": ", prefix, ": impossible size ",
               bands_.empty() ? 0 : vocab_size(), " x ", dim_);
}

template <typename T>
typename TokenTable<T>::Band TokenTable<T>::load_band(TensorReader<T>& reader,
                                                      const std::string& name,
                                                      std::int64_t begin) const {
  Band band;
  const std::int64_t rows = reader.extent(name, 2, 0);
  band.begin = begin;
  band.end = checked_add(begin, rows);
  band.width = reader.extent(name, 2, 1);
  band.rows = reader.matrix(name, rows, band.width);
  return band;
}

template <typename T>
void TokenTable<T>::apply(std::span<const std::int64_t> tokens, T scale, T* out,
                          ThreadPool& pool) const {
  if (!adaptive()) {
    const T* table = bands_.front().rows.data();
    for (std::size_t r = 0; r < tokens.size(); ++r) {
      const T* source = table + tokens[r] * dim_;
      T* row = out + ssize(r) * dim_;
      for (std::int64_t i = 0; i < dim_; ++i) row[i] = scale * source[i];
    }
    return;
  }
  AlignedBuffer<T> narrow;
  AlignedBuffer<T> wide;
  std::vector<std::size_t> members;
  for (const Band& band : bands_) {
    members.clear();
    for (std::size_t r = 0; r < tokens.size(); ++r) {
      if (tokens[r] >= band.begin && tokens[r] < band.end) members.push_back(r);
    }
    if (members.empty()) continue;
    const std::int64_t count = ssize(members.size());
    narrow.reserve(count * band.width);
    wide.reserve(count * dim_);
    for (std::int64_t m = 0; m < count; ++m) {
      const std::int64_t token = tokens[members[usize(m)]] - band.begin;
      std::copy_n(band.rows.data() + token * band.width, band.width,
                  narrow.data() + m * band.width);
    }
    band.project.multiply({narrow.data(), band.width}, count, {wide.data(), dim_}, {}, pool);
    for (std::int64_t m = 0; m < count; ++m) {
      T* row = out + ssize(members[usize(m)]) * dim_;
      for (std::int64_t i = 0; i < dim_; ++i) row[i] = scale * wide.data()[m * dim_ + i];
    }
  }
}

template <typename T>
Embedding<T>::Embedding(TensorReader<T>& reader, const std::string& prefix,
                        const TransformerConfig& config, const StackConfig& stack)
    : prefix_(prefix),
      tokens_(reader, prefix + ".embed_tokens"),
      quant_noise_last_(prefix == "encoder") {
  const std::int64_t table_dim = tokens_.dim();
  project_in_ = load_linear(reader, prefix + ".project_in_dim", table_dim);
  dim_ = project_in_.outputs() != 0 ? project_in_.outputs() : table_dim;
  quant_noise_ = load_linear(reader, prefix + ".quant_noise", table_dim);
  ELBEAM_CHECK(quant_noise_.outputs() == 0 || quant_noise_.outputs() == table_dim,
               ErrorCode::kModel, reader.path(), ": tensor ", prefix,
               ".quant_noise.weight: expected ", table_dim, " rows, got ", quant_noise_.outputs());
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
    ELBEAM_CHECK(token >= 0 && token < vocab_size(), ErrorCode::kModel, "token id ", token,
                 " is outside the ", prefix_, "'s vocabulary of ", vocab_size());
  }
  AlignedBuffer<T> narrow;
  const bool projected = project_in_.outputs() != 0;
  if (projected) narrow.reserve(checked_mul(rows, tokens_.dim()));
  T* scaled = projected ? narrow.data() : out;
  tokens_.apply(input.tokens, scale_, scaled, pool);
  if (!quant_noise_last_) multiply_in_place(quant_noise_, rows, scaled, pool);
  if (projected) project_in_.multiply({scaled, tokens_.dim()}, rows, {out, dim_}, {}, pool);
  if (positions_) {
    const std::int64_t last = *std::max_element(input.positions.begin(), input.positions.end());
    const std::shared_ptr<const T> positions = positions_->rows(last + 1);
    for (std::int64_t r = 0; r < rows; ++r) {
      const T* position = positions.get() + input.positions[usize(r)] * dim_;
      for (std::int64_t i = 0; i < dim_; ++i) out[r * dim_ + i] += position[i];
    }
  }
  if (norm_.present()) norm_.apply(out, rows, out, pool);
  if (quant_noise_last_) multiply_in_place(quant_noise_, rows, out, pool);
}

template class PositionTable<float>;
template class PositionTable<double>;
template class TokenTable<float>;
template class TokenTable<double>;
template class Embedding<float>;
template class Embedding<double>;

}  // namespace elbeam::model
