// The pieces that encoder and decoder share: embeddings, positions, LayerNorm, feed-forward.
#pragma once

#include "base/thread_pool.hpp"
#include "kernels/packed_matrix.hpp"
#include "model/config.hpp"
#include "model/tensor_reader.hpp"

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace elbeam::model {

// fairseq's padding_idx, which its position tables count from.
inline constexpr std::int64_t kPad = 1;

// Rows of position embeddings; row p (0-based position in the sentence) is fairseq's row pad + 1 +
// p. Learned ones lie in the file. Sinusoidal ones are computed in float32 as
// SinusoidalPositionalEmbedding.get_embedding does, and the table grows on demand. Thread-safe.
template <typename T>
class PositionTable {
 public:
  PositionTable(TensorReader<T>& reader, const std::string& prefix, bool learned, std::int64_t dim);

  // A table of at least `positions` rows [positions, dim]; it stays valid while it is held.
  std::shared_ptr<const T> rows(std::int64_t positions) const;

  // Positions that the table can give at all; 10^5 for sinusoidal ones, as in fairseq.
  std::int64_t limit() const noexcept { return limit_; }

 private:
  std::int64_t dim_;
  std::int64_t limit_;
  std::span<const T> learned_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const std::vector<T>> computed_;
};

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

// x = scale * embed[token] (projected where the widths differ) + position, then
// layernorm_embedding.
template <typename T>
class Embedding {
 public:
  // prefix is "encoder" or "decoder".
  Embedding(TensorReader<T>& reader, const std::string& prefix, const TransformerConfig& config,
            const StackConfig& stack);

  std::int64_t vocab_size() const noexcept { return vocab_size_; }
  std::int64_t dim() const noexcept { return dim_; }
  std::span<const T> table() const noexcept { return table_; }
  std::int64_t table_dim() const noexcept { return table_dim_; }
  // Longest sentence that the positions allow.
  std::int64_t position_limit() const noexcept;

  struct Input {
    std::span<const std::int64_t> tokens;     // [rows]
    std::span<const std::int64_t> positions;  // [rows], 0-based
  };
  // out [rows, dim]. Throws Error(kModel) for an id outside the vocabulary.
  void apply(const Input& input, T* out, ThreadPool& pool) const;

 private:
  std::string prefix_;
  std::span<const T> table_;
  std::int64_t vocab_size_ = 0;
  std::int64_t table_dim_ = 0;
  std::int64_t dim_ = 0;
  T scale_{1};
  kernels::PackedMatrix<T> project_in_;
  std::unique_ptr<PositionTable<T>> positions_;
  LayerNorm<T> norm_;
};

// y = residual + fc2(activation(fc1(x))).
template <typename T>
class FeedForward {
 public:
  FeedForward(TensorReader<T>& reader, const std::string& prefix, std::int64_t dim,
              kernels::Activation activation);

  void apply(const T* x, std::int64_t rows, T* residual_and_result, AlignedBuffer<T>& hidden,
             ThreadPool& pool) const;

 private:
  std::int64_t dim_;
  std::int64_t hidden_dim_;
  kernels::Activation activation_;
  kernels::PackedMatrix<T> fc1_, fc2_;
  std::span<const T> bias1_, bias2_;
};

// Number of layers "prefix.layers.<i>." in the file.
template <typename T>
std::int64_t count_layers(const TensorReader<T>& reader, const std::string& prefix);

}  // namespace elbeam::model
