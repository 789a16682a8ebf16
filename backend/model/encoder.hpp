// The Transformer encoder over sentences laid one after another, without padding.
#pragma once

#include <elbeam/step_model.hpp>

#include "attention/cross_attention.hpp"
#include "attention/weights.hpp"
#include "model/embedding.hpp"
#include "model/layers.hpp"

#include <vector>

namespace elbeam::model {

// Immutable after construction; encode() may run in several threads at once.
template <typename T>
class Encoder {
 public:
  Encoder(TensorReader<T>& reader, const TransformerConfig& config);

  std::int64_t vocab_size() const noexcept { return embedding_.vocab_size(); }
  std::int64_t dim() const noexcept { return embedding_.dim(); }
  std::int64_t max_positions() const noexcept;

  // fairseq's TransformerEncoder.forward, without what padding would need. Throws Error(kModel) for
  // a sentence that is empty, too long, holds padding or an id outside the vocabulary.
  attention::EncoderOut<T> encode(const SourceBatch& batch, ThreadPool& pool) const;

 private:
  struct Layer {
    attention::Weights<T> self;
    LayerNorm<T> self_norm;
    FeedForward<T> feed_forward;
    LayerNorm<T> final_norm;
  };
  struct Scratch {
    attention::Workspace<T> attention;
    AlignedBuffer<T> normalised;
    AlignedBuffer<T> hidden;
  };

  Layer load_layer(TensorReader<T>& reader, const TransformerConfig& config,
                   std::int64_t index) const;
  void encode_chunk(const SourceBatch& batch, std::int64_t first, std::int64_t last,
                    attention::EncoderOut<T>& out, Scratch& scratch, ThreadPool& pool) const;
  void run_layer(const Layer& layer, std::span<const std::int64_t> offsets, T* x, Scratch& scratch,
                 ThreadPool& pool) const;

  Embedding<T> embedding_;
  std::int64_t configured_positions_;
  bool normalize_before_;
  std::vector<Layer> layers_;
  LayerNorm<T> layer_norm_;
};

}  // namespace elbeam::model
