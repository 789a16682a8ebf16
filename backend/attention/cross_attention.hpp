// The decoder's attention to the encoder output, beam-shared: keys and values (multi-head) or the
// hidden states alone (EL) are held per sentence, and all beams of a sentence read the same copy.
#pragma once

#include "attention/self_attention.hpp"
#include "attention/weights.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::attention {

// The encoder output of a batch, sentences one after another without padding.
template <typename T>
struct EncoderOut {
  AlignedBuffer<T> hidden;            // [total tokens, key_dim]
  std::vector<std::int64_t> offsets;  // [sentences + 1] first token of each sentence
  std::int64_t dim = 0;

  std::int64_t sentences() const noexcept { return ssize(offsets.size()) - 1; }
  std::int64_t length(std::int64_t s) const noexcept {
    return offsets[usize(s + 1)] - offsets[usize(s)];
  }
  const T* sentence(std::int64_t s) const noexcept {
    return hidden.data() + offsets[usize(s)] * dim;
  }
};

// Keys and values are computed for short sentences together, as long as they have no more tokens
// than this: products of few rows would read the weights for each of them.
inline constexpr std::int64_t kProjectedTokens = 192;

// Keys and values of one layer for multi-head attention, in the order in which a step reads them,
// so that the processor sees them coming: of each sentence one head after the other. A head's keys
// are panels of panel_width source positions (the last one of fewer, a multiple of the vector's
// lanes), each [d_k][positions]; its values are [length][d_k].
template <typename T>
class CrossKeysValues {
 public:
  CrossKeysValues() = default;
  // The weights have been prepared for kMha.
  CrossKeysValues(const Weights<T>& weights, const EncoderOut<T>& encoder_out, ThreadPool& pool);

  const T* keys(std::int64_t sentence) const noexcept {
    return keys_.data() + key_offsets_[usize(sentence)];
  }
  const T* values(std::int64_t sentence) const noexcept {
    return values_.data() + value_offsets_[usize(sentence)];
  }
  std::int64_t padded_length(std::int64_t sentence) const noexcept {
    return padded_[usize(sentence)];
  }
  std::int64_t bytes() const noexcept { return keys_.bytes() + values_.bytes(); }

 private:
  AlignedBuffer<T> keys_;
  AlignedBuffer<T> values_;
  std::vector<std::int64_t> key_offsets_;
  std::vector<std::int64_t> value_offsets_;
  std::vector<std::int64_t> padded_;
};

// The rows of one live sentence in a step: rows [first_row, first_row + rows).
struct SentenceRows {
  std::int64_t sentence = 0;
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
};

template <typename T>
struct CrossStep {
  const Weights<T>* weights = nullptr;
  const EncoderOut<T>* encoder_out = nullptr;
  const CrossKeysValues<T>* keys_values = nullptr;  // nullptr: EL-attention
  std::span<const SentenceRows> live;
  std::int64_t rows = 0;
  const T* x = nullptr;         // [rows, dim]
  const T* residual = nullptr;  // [rows, dim]
  T* y = nullptr;               // [rows, dim]
  // Where to write the attention weights, mean over heads, or nullptr: row r's begin at
  // r * mean_width, one for each source token of its sentence. What lies behind them is left alone.
  T* mean_weights = nullptr;
  std::int64_t mean_width = 0;
};

// y = residual + Attention(x, encoder_out).
template <typename T>
void cross_attention(const CrossStep<T>& step, Workspace<T>& work, ThreadPool& pool);

}  // namespace elbeam::attention
