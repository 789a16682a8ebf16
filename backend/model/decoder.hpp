// The Transformer decoder: one position at a time over all live rows, or whole given sentences.
#pragma once

#include "attention/cross_attention.hpp"
#include "attention/self_attention.hpp"
#include "attention/weights.hpp"
#include "model/embedding.hpp"
#include "model/layers.hpp"
#include "model/output_layer.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace elbeam::model {

// Immutable while passes run; prepare_*() must not run at the same time as they do.
template <typename T>
class Decoder {
 public:
  // encoder_dim is not used by a decoder that does not attend to an encoder.
  Decoder(TensorReader<T>& reader, const TransformerConfig& config, std::int64_t encoder_dim);

  const OutputLayer<T>& output() const noexcept { return output_; }
  std::int64_t vocab_size() const noexcept { return output_.vocab_size(); }
  std::int64_t dim() const noexcept { return embedding_.dim(); }
  std::int64_t heads() const noexcept { return heads_; }
  std::int64_t layers() const noexcept { return ssize(layers_.size()); }
  bool has_cross_attention() const noexcept { return layers_.front().cross.has_value(); }
  std::int64_t max_positions() const noexcept;

  void prepare_self(attention::Kind kind);
  void prepare_forced();  // what given sentences need, whatever the kind
  void prepare_cross(attention::Kind kind);

  // Keys and values of every layer for multi-head cross-attention.
  std::vector<attention::CrossKeysValues<T>> build_keys_values(
      const attention::EncoderOut<T>& encoder_out, ThreadPool& pool) const;

  // Scratch space of one decode state; it only grows.
  struct Scratch {
    attention::Workspace<T> attention;
    AlignedBuffer<T> x, normalised, branch, hidden, narrow;
    std::vector<std::int64_t> positions;
  };
  // Rows that go through the layers together.
  struct Pass {
    std::span<const std::int64_t> tokens;     // [rows]
    std::span<const std::int64_t> positions;  // [rows]
    // Self-attention. Empty offsets: each row is one hypothesis, whose history is in the cache
    // (begin_step() was called). Else rows offsets[s] .. offsets[s + 1] - 1 are sentence s.
    attention::Kind self_kind = attention::Kind::kMha;
    attention::SelfCache<T>* cache = nullptr;
    std::span<const std::int64_t> offsets;
    std::int64_t first_cache_row = 0;
    bool causal = true;
    // Attention to the source.
    const attention::EncoderOut<T>* encoder_out = nullptr;
    const std::vector<attention::CrossKeysValues<T>>* keys_values = nullptr;  // empty: EL-attention
    std::span<const attention::SentenceRows> live;
    T* mean_weights = nullptr;  // [rows, mean_width] of layer mean_layer, or nullptr
    std::int64_t mean_width = 0;
    std::int64_t mean_layer = 0;
  };
  // fairseq's TransformerDecoder.extract_features: [rows, features_dim()] in the scratch space.
  T* features(const Pass& pass, Scratch& scratch, ThreadPool& pool) const;
  std::int64_t features_dim() const noexcept {
    return project_out_.outputs() != 0 ? project_out_.outputs() : dim();
  }

 private:
  struct Layer {
    attention::Weights<T> self;
    LayerNorm<T> self_norm;
    std::optional<attention::Weights<T>> cross;
    LayerNorm<T> cross_norm;
    FeedForward<T> feed_forward;
    LayerNorm<T> final_norm;
    // NormFormer (--scale-heads, --scale-attn): of what self-attention adds to the residual.
    std::span<const T> head_scales;  // [heads]
    LayerNorm<T> attention_norm;
  };

  Layer load_layer(TensorReader<T>& reader, const TransformerConfig& config, std::int64_t index,
                   std::int64_t encoder_dim) const;
  void run_layer(std::int64_t index, const Pass& pass, Scratch& scratch, ThreadPool& pool) const;
  void self_block(std::int64_t index, const Pass& pass, Scratch& scratch, ThreadPool& pool) const;
  void cross_block(std::int64_t index, const Pass& pass, Scratch& scratch, ThreadPool& pool) const;

  Embedding<T> embedding_;
  std::int64_t configured_positions_;
  std::int64_t heads_;
  bool normalize_before_;
  std::vector<Layer> layers_;
  LayerNorm<T> layer_norm_;
  kernels::PackedMatrix<T> project_out_;
  OutputLayer<T> output_;
};

}  // namespace elbeam::model
