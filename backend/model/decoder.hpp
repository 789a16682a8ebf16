// The Transformer decoder, one position at a time over all live rows.
#pragma once

#include "attention/cross_attention.hpp"
#include "attention/self_attention.hpp"
#include "attention/weights.hpp"
#include "model/layers.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::model {

// Immutable while steps run; prepare_*() must not run at the same time as step().
template <typename T>
class Decoder {
 public:
  Decoder(TensorReader<T>& reader, const TransformerConfig& config, std::int64_t encoder_dim);

  std::int64_t vocab_size() const noexcept { return output_.outputs(); }
  std::int64_t dim() const noexcept { return embedding_.dim(); }
  std::int64_t heads() const noexcept { return heads_; }
  std::int64_t layers() const noexcept { return ssize(layers_.size()); }
  std::int64_t max_positions() const noexcept;

  void prepare_self(attention::Kind kind);
  void prepare_cross(attention::Kind kind);

  // Keys and values of every layer for multi-head cross-attention.
  std::vector<attention::CrossKeysValues<T>> build_keys_values(
      const attention::EncoderOut<T>& encoder_out, ThreadPool& pool) const;

  // Scratch space of one decode state; it only grows.
  struct Scratch {
    attention::Workspace<T> attention;
    AlignedBuffer<T> x, normalised, hidden, narrow;
    std::vector<std::int64_t> positions;
  };
  struct Step {
    std::span<const std::int64_t> tokens;  // [rows]
    attention::Kind self_kind = attention::Kind::kMha;
    attention::SelfCache<T>* cache = nullptr;  // begin_step() was called for this step
    const attention::EncoderOut<T>* encoder_out = nullptr;
    const std::vector<attention::CrossKeysValues<T>>* keys_values = nullptr;  // empty: EL-attention
    std::span<const attention::SentenceRows> live;
    T* logits = nullptr;  // [rows, vocab_size()]
  };
  // fairseq's TransformerDecoder.forward with incremental state, last position only.
  void step(const Step& step, Scratch& scratch, ThreadPool& pool) const;

 private:
  struct Layer {
    attention::Weights<T> self;
    LayerNorm<T> self_norm;
    attention::Weights<T> cross;
    LayerNorm<T> cross_norm;
    FeedForward<T> feed_forward;
    LayerNorm<T> final_norm;
  };

  Layer load_layer(TensorReader<T>& reader, const TransformerConfig& config, std::int64_t index,
                   std::int64_t encoder_dim) const;
  void load_output(TensorReader<T>& reader);
  void run_layer(std::int64_t index, const Step& step, Scratch& scratch, ThreadPool& pool) const;

  Embedding<T> embedding_;
  std::int64_t configured_positions_;
  std::int64_t heads_;
  bool normalize_before_;
  std::vector<Layer> layers_;
  LayerNorm<T> layer_norm_;
  kernels::PackedMatrix<T> project_out_;
  kernels::PackedMatrix<T> output_;
  std::span<const T> output_bias_;
};

}  // namespace elbeam::model
