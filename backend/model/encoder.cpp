#include "model/encoder.hpp"

#include "attention/encoder_attention.hpp"
#include "base/check.hpp"
#include "model/attention_loader.hpp"

#include <algorithm>

namespace elbeam::model {
namespace {

// Sentences are encoded in groups of about this many tokens: enough rows to keep the products busy,
// few enough that the activations of one group stay in the cache and memory does not grow with the
// batch.
constexpr std::int64_t kChunkTokens = 512;

}  // namespace

template <typename T>
Encoder<T>::Encoder(TensorReader<T>& reader, const TransformerConfig& config)
    : embedding_(reader, "encoder", config, config.encoder),
      configured_positions_(config.encoder.max_positions),
      normalize_before_(config.encoder.normalize_before) {
  const std::int64_t count = count_layers(reader, "encoder");
  layers_.reserve(usize(count));
  for (std::int64_t i = 0; i < count; ++i) layers_.push_back(load_layer(reader, config, i));
  // Checkpoints of version < 2 did not normalise after the stack (upgrade_state_dict_named).
  if (normalize_before_ && reader.scalar("encoder.version", 1.0) >= 2.0) {
    layer_norm_ = LayerNorm<T>(reader, "encoder.layer_norm", dim());
  }
}

template <typename T>
typename Encoder<T>::Layer Encoder<T>::load_layer(TensorReader<T>& reader,
                                                  const TransformerConfig& config,
                                                  std::int64_t index) const {
  const std::string prefix = concat("encoder.layers.", index);
  // Old names: layer_norms.0 and .1.
  const bool old_names = reader.has(prefix + ".layer_norms.0.weight");
  const std::string first = prefix + (old_names ? ".layer_norms.0" : ".self_attn_layer_norm");
  const std::string second = prefix + (old_names ? ".layer_norms.1" : ".final_layer_norm");
  Layer layer{load_attention(reader, prefix + ".self_attn", {config.encoder.heads, dim(), dim()}),
              LayerNorm<T>(reader, first, dim()),
              FeedForward<T>(reader, prefix, dim(), config.activation),
              LayerNorm<T>(reader, second, dim())};
  layer.self.prepare_fused_qkv();
  return layer;
}

template <typename T>
std::int64_t Encoder<T>::max_positions() const noexcept {
  return std::min(configured_positions_, embedding_.position_limit());
}

template <typename T>
attention::EncoderOut<T> Encoder<T>::encode(const SourceBatch& batch, ThreadPool& pool) const {
  attention::EncoderOut<T> out;
  out.dim = dim();
  out.offsets.push_back(0);
  for (std::size_t s = 0; s < batch.sentences.size(); ++s) {
    const auto& sentence = batch.sentences[s];
    const std::int64_t length = ssize(sentence.size());
    ELBEAM_CHECK(length >= 1 && length <= max_positions(), ErrorCode::kModel, "source sentence ", s,
                 " of the batch: expected 1 to ", max_positions(), " tokens, got ", length);
    ELBEAM_CHECK(std::find(sentence.begin(), sentence.end(), kPad) == sentence.end(),
                 ErrorCode::kModel, "source sentence ", s,
                 " of the batch holds the padding symbol");
    out.offsets.push_back(checked_add(out.offsets.back(), length));
  }
  out.hidden.reserve(checked_mul(out.offsets.back(), dim()));
  Scratch scratch;
  const std::int64_t sentences = out.sentences();
  for (std::int64_t first = 0; first < sentences;) {
    std::int64_t last = first + 1;
    while (last < sentences &&
           out.offsets[usize(last + 1)] - out.offsets[usize(first)] <= kChunkTokens) {
      ++last;
    }
    encode_chunk(batch, first, last, out, scratch, pool);
    first = last;
  }
  return out;
}

template <typename T>
void Encoder<T>::encode_chunk(const SourceBatch& batch, std::int64_t first, std::int64_t last,
                              attention::EncoderOut<T>& out, Scratch& scratch,
                              ThreadPool& pool) const {
  std::vector<std::int64_t> tokens;
  std::vector<std::int64_t> positions;
  std::vector<std::int64_t> offsets{0};
  for (std::int64_t s = first; s < last; ++s) {
    const auto& sentence = batch.sentences[usize(s)];
    tokens.insert(tokens.end(), sentence.begin(), sentence.end());
    for (std::int64_t p = 0; p < ssize(sentence.size()); ++p) positions.push_back(p);
    offsets.push_back(ssize(tokens.size()));
  }
  const std::int64_t rows = offsets.back();
  T* x = out.hidden.data() + out.offsets[usize(first)] * dim();
  embedding_.apply({tokens, positions}, x, pool);
  scratch.normalised.reserve(rows * dim());
  for (const Layer& layer : layers_) run_layer(layer, offsets, x, scratch, pool);
  if (layer_norm_.present()) layer_norm_.apply(x, rows, x, pool);
}

// fairseq/modules/transformer_layer.py TransformerEncoderLayerBase.forward.
template <typename T>
void Encoder<T>::run_layer(const Layer& layer, std::span<const std::int64_t> offsets, T* x,
                           Scratch& scratch, ThreadPool& pool) const {
  const std::int64_t rows = offsets.back();
  T* normalised = scratch.normalised.data();
  if (normalize_before_) layer.self_norm.apply(x, rows, normalised, pool);
  attention::EncoderStep<T> step;
  step.weights = &layer.self;
  step.offsets = offsets;
  step.x = normalize_before_ ? normalised : x;
  step.residual = x;
  step.y = x;
  attention::encoder_attention(step, scratch.attention, pool);
  if (normalize_before_) {
    layer.final_norm.apply(x, rows, normalised, pool);
    layer.feed_forward.apply(normalised, rows, x, scratch.hidden, pool);
    return;
  }
  layer.self_norm.apply(x, rows, x, pool);
  layer.feed_forward.apply(x, rows, x, scratch.hidden, pool);
  layer.final_norm.apply(x, rows, x, pool);
}

template class Encoder<float>;
template class Encoder<double>;

}  // namespace elbeam::model
