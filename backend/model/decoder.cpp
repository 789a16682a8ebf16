#include "model/decoder.hpp"

#include "base/check.hpp"
#include "model/attention_loader.hpp"

#include <algorithm>

namespace elbeam::model {

template <typename T>
Decoder<T>::Decoder(TensorReader<T>& reader, const TransformerConfig& config,
                    std::int64_t encoder_dim)
    : embedding_(reader, "decoder", config, config.decoder),
      configured_positions_(config.decoder.max_positions),
      heads_(config.decoder.heads),
      normalize_before_(config.decoder.normalize_before),
      project_out_(load_linear(reader, "decoder.project_out_dim", embedding_.dim())),
      output_(reader, config, features_dim(), embedding_.vocab_size()) {
  const std::int64_t count = count_layers(reader, "decoder");
  layers_.reserve(usize(count));
  for (std::int64_t i = 0; i < count; ++i)
    layers_.push_back(load_layer(reader, config, i, encoder_dim));
  // Checkpoints of version <= 2 did not normalise after the stack (upgrade_state_dict_named).
  if (normalize_before_ && config.decoder_final_norm &&
      reader.scalar("decoder.version", 1.0) > 2.0) {
    layer_norm_ = LayerNorm<T>(reader, "decoder.layer_norm", dim());
  }
}

template <typename T>
typename Decoder<T>::Layer Decoder<T>::load_layer(TensorReader<T>& reader,
                                                  const TransformerConfig& config,
                                                  std::int64_t index,
                                                  std::int64_t encoder_dim) const {
  const std::string prefix = concat("decoder.layers.", index);
  const bool old_names = reader.has(prefix + ".layer_norms.0.weight");
  const auto norm = [&](const char* old_name, const char* new_name) {
    return LayerNorm<T>(reader, concat(prefix, ".", old_names ? old_name : new_name), dim());
  };
  Layer layer{load_attention(reader, prefix + ".self_attn", {heads_, dim(), dim()}),
              norm("layer_norms.0", "self_attn_layer_norm"),
              std::nullopt,
              {},
              FeedForward<T>(reader, prefix, dim(), config.activation),
              norm("layer_norms.2", "final_layer_norm"),
              reader.optional_vector(prefix + ".c_attn", heads_),
              {}};
  if (config.cross_attention) {
    layer.cross = load_attention(reader, prefix + ".encoder_attn", {heads_, dim(), encoder_dim});
    layer.cross_norm = norm("layer_norms.1", "encoder_attn_layer_norm");
  }
  if (reader.has(prefix + ".attn_ln.weight"))
    layer.attention_norm = LayerNorm<T>(reader, prefix + ".attn_ln", dim());
  return layer;
}

template <typename T>
std::int64_t Decoder<T>::max_positions() const noexcept {
  return std::min(configured_positions_, embedding_.position_limit());
}

template <typename T>
void Decoder<T>::prepare_self(attention::Kind kind) {
  for (Layer& layer : layers_) {
    if (kind == attention::Kind::kEl) {
      layer.self.prepare(kind);
    } else {
      layer.self.prepare_fused_qkv();
    }
  }
}

template <typename T>
void Decoder<T>::prepare_forced() {
  for (Layer& layer : layers_) layer.self.prepare_fused_qkv();
}

template <typename T>
void Decoder<T>::prepare_cross(attention::Kind kind) {
  for (Layer& layer : layers_) {
    if (layer.cross) layer.cross->prepare(kind);
  }
}

template <typename T>
std::vector<attention::CrossKeysValues<T>> Decoder<T>::build_keys_values(
    const attention::EncoderOut<T>& encoder_out, ThreadPool& pool) const {
  std::vector<attention::CrossKeysValues<T>> all;
  all.reserve(layers_.size());
  for (const Layer& layer : layers_) all.emplace_back(*layer.cross, encoder_out, pool);
  return all;
}

template <typename T>
T* Decoder<T>::features(const Pass& pass, Scratch& scratch, ThreadPool& pool) const {
  const std::int64_t rows = ssize(pass.tokens.size());
  scratch.x.reserve(checked_mul(rows, dim()));
  scratch.normalised.reserve(rows * dim());
  embedding_.apply({pass.tokens, pass.positions}, scratch.x.data(), pool);
  for (std::int64_t i = 0; i < layers(); ++i) run_layer(i, pass, scratch, pool);
  T* x = scratch.x.data();
  if (layer_norm_.present()) layer_norm_.apply(x, rows, x, pool);
  if (project_out_.outputs() == 0) return x;
  scratch.narrow.reserve(checked_mul(rows, features_dim()));
  project_out_.multiply({x, dim()}, rows, {scratch.narrow.data(), features_dim()}, {}, pool);
  return scratch.narrow.data();
}

// fairseq/modules/transformer_layer.py TransformerDecoderLayerBase.forward. Pre-norm blocks read
// LayerNorm(x), post-norm blocks read x and are normalised afterwards.
template <typename T>
void Decoder<T>::run_layer(std::int64_t index, const Pass& pass, Scratch& scratch,
                           ThreadPool& pool) const {
  const Layer& layer = layers_[usize(index)];
  const std::int64_t rows = ssize(pass.tokens.size());
  T* x = scratch.x.data();
  T* normalised = scratch.normalised.data();

  if (normalize_before_) layer.self_norm.apply(x, rows, normalised, pool);
  self_block(index, pass, scratch, pool);
  if (!normalize_before_) layer.self_norm.apply(x, rows, x, pool);

  if (layer.cross) {
    if (normalize_before_) layer.cross_norm.apply(x, rows, normalised, pool);
    cross_block(index, pass, scratch, pool);
    if (!normalize_before_) layer.cross_norm.apply(x, rows, x, pool);
  }

  if (normalize_before_) layer.final_norm.apply(x, rows, normalised, pool);
  layer.feed_forward.apply(normalize_before_ ? normalised : x, rows, x, scratch.hidden, pool);
  if (!normalize_before_) layer.final_norm.apply(x, rows, x, pool);
}

template <typename T>
void Decoder<T>::self_block(std::int64_t index, const Pass& pass, Scratch& scratch,
                            ThreadPool& pool) const {
  const Layer& layer = layers_[usize(index)];
  const std::int64_t rows = ssize(pass.tokens.size());
  T* x = scratch.x.data();
  const bool scaled = !layer.head_scales.empty() || layer.attention_norm.present();
  if (scaled) scratch.branch.reserve(rows * dim());
  attention::SelfStep<T> step;
  step.weights = &layer.self;
  step.kind = pass.self_kind;
  step.layer = index;
  step.x = normalize_before_ ? scratch.normalised.data() : x;
  step.residual = scaled ? nullptr : x;
  step.y = scaled ? scratch.branch.data() : x;
  if (pass.offsets.empty()) {
    attention::self_attention(step, *pass.cache, scratch.attention, pool);
  } else {
    attention::forced_self_attention<T>(
        {step, pass.offsets, pass.causal, pass.cache, pass.first_cache_row}, scratch.attention,
        pool);
  }
  if (!scaled) return;
  T* branch = scratch.branch.data();
  if (!layer.head_scales.empty()) {
    const std::int64_t head_dim = dim() / heads_;
    for (std::int64_t i = 0; i < rows * dim(); ++i)
      branch[i] *= layer.head_scales[usize(i % dim() / head_dim)];
  }
  if (layer.attention_norm.present()) layer.attention_norm.apply(branch, rows, branch, pool);
  for (std::int64_t i = 0; i < rows * dim(); ++i) x[i] += branch[i];
}

template <typename T>
void Decoder<T>::cross_block(std::int64_t index, const Pass& pass, Scratch& scratch,
                             ThreadPool& pool) const {
  T* x = scratch.x.data();
  attention::CrossStep<T> cross;
  cross.weights = &*layers_[usize(index)].cross;
  cross.encoder_out = pass.encoder_out;
  cross.keys_values = pass.keys_values->empty() ? nullptr : &(*pass.keys_values)[usize(index)];
  cross.live = pass.live;
  cross.rows = ssize(pass.tokens.size());
  cross.x = normalize_before_ ? scratch.normalised.data() : x;
  cross.residual = x;
  cross.y = x;
  if (index == pass.mean_layer) {
    cross.mean_weights = pass.mean_weights;
    cross.mean_width = pass.mean_width;
  }
  attention::cross_attention(cross, scratch.attention, pool);
}

template class Decoder<float>;
template class Decoder<double>;

}  // namespace elbeam::model
