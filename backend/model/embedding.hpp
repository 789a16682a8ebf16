// From token ids to what the first layer reads: token tables, positions, their projections and
// norm.
#pragma once

#include "model/config.hpp"
#include "model/layers.hpp"

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

// embed_tokens: one table, or the bands of fairseq's AdaptiveInput (Baevski and Auli, 2019), in
// which rarer tokens have narrower rows and a projection each.
template <typename T>
class TokenTable {
 public:
  // prefix is e.g. "decoder.embed_tokens".
  TokenTable(TensorReader<T>& reader, const std::string& prefix);

  std::int64_t vocab_size() const noexcept { return bands_.back().end; }
  std::int64_t dim() const noexcept { return dim_; }
  bool adaptive() const noexcept { return bands_.front().project.outputs() != 0; }

  // out [tokens, dim()] = scale * embedding; every token is in 0 .. vocab_size() - 1.
  void apply(std::span<const std::int64_t> tokens, T scale, T* out, ThreadPool& pool) const;

 private:
  struct Band {
    std::int64_t begin = 0;  // tokens begin .. end - 1
    std::int64_t end = 0;
    std::int64_t width = 0;
    std::span<const T> rows;           // [end - begin, width]
    kernels::PackedMatrix<T> project;  // [dim, width] of an adaptive table
  };
  Band load_band(TensorReader<T>& reader, const std::string& name, std::int64_t begin) const;

  std::vector<Band> bands_;
  std::int64_t dim_ = 0;
};

// x = layernorm_embedding(project_in_dim(scale * embed_tokens[token]) + position). The extra
// Linear of models that were trained with --quant-noise-pq lies where fairseq has it: in a decoder
// behind the scaling, in an encoder at the very end.
template <typename T>
class Embedding {
 public:
  // prefix is "encoder" or "decoder".
  Embedding(TensorReader<T>& reader, const std::string& prefix, const TransformerConfig& config,
            const StackConfig& stack);

  std::int64_t vocab_size() const noexcept { return tokens_.vocab_size(); }
  std::int64_t dim() const noexcept { return dim_; }
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
  TokenTable<T> tokens_;
  std::int64_t dim_ = 0;
  T scale_{1};
  kernels::PackedMatrix<T> project_in_;
  kernels::PackedMatrix<T> quant_noise_;
  bool quant_noise_last_;
  std::unique_ptr<PositionTable<T>> positions_;
  LayerNorm<T> norm_;
};

}  // namespace elbeam::model
