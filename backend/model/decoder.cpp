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
      normalize_before_(config.decoder.normalize_before) {
  const std::int64_t count = count_layers(reader, "decoder");
  layers_.reserve(usize(count));
  for (std::int64_t i = 0; i < count; ++i) {
    layers_.push_back(load_layer(reader, config, i, encoder_dim));
  }
  // Checkpoints of version <= 2 did not normalise after the stack (upgrade_state_dict_named).
  if (normalize_before_ && config.decoder_final_norm &&
      reader.scalar("decoder.version", 1.0) > 2.0) {
    layer_norm_ = LayerNorm<T>(reader, "decoder.layer_norm", dim());
  }
  load_output(reader);
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
  return Layer{load_attention(reader, prefix + ".self_attn", {heads_, dim(), dim()}),
               norm("layer_norms.0", "self_attn_layer_norm"),
               load_attention(reader, prefix + ".encoder_attn", {heads_, dim(), encoder_dim}),
               norm("layer_norms.1", "encoder_attn_layer_norm"),
               FeedForward<T>(reader, prefix, dim(), config.activation),
               norm("layer_norms.2", "final_layer_norm")};
}

template <typename T>
void Decoder<T>::load_output(TensorReader<T>& reader) {
  std::int64_t width = dim();
  const std::string project = "decoder.project_out_dim.weight";
  if (reader.has(project)) {
    width = reader.extent(project, 2, 0);
    project_out_ =
        kernels::PackedMatrix<T>(reader.matrix(project, width, dim()).data(), dim(), width, dim());
  }
  // Untied, tied under its own name, old name of untied, tied without a name of its own.
  std::string name = "decoder.output_projection.weight";
  if (!reader.has(name))
    name = reader.has("decoder.embed_out") ? "decoder.embed_out" : "decoder.embed_tokens.weight";
  const std::int64_t vocabulary = reader.extent(name, 2, 0);
  ELBEAM_CHECK(vocabulary == embedding_.vocab_size(), ErrorCode::kModel, reader.path(), ": tensor ",
               name, ": expected ", embedding_.vocab_size(),
               " rows as in decoder.embed_tokens.weight, got ", vocabulary);
  output_ = kernels::PackedMatrix<T>(reader.matrix(name, vocabulary, width).data(), width,
                                     vocabulary, width);
  output_bias_ = reader.optional_vector("decoder.output_projection.bias", vocabulary);
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
void Decoder<T>::prepare_cross(attention::Kind kind) {
  for (Layer& layer : layers_) layer.cross.prepare(kind);
}

template <typename T>
std::vector<attention::CrossKeysValues<T>> Decoder<T>::build_keys_values(
    const attention::EncoderOut<T>& encoder_out, ThreadPool& pool) const {
  std::vector<attention::CrossKeysValues<T>> all;
  all.reserve(layers_.size());
  for (const Layer& layer : layers_) all.emplace_back(layer.cross, encoder_out, pool);
  return all;
}

template <typename T>
void Decoder<T>::step(const Step& step, Scratch& scratch, ThreadPool& pool) const {
  const std::int64_t rows = ssize(step.tokens.size());
  scratch.x.reserve(rows * dim());
  scratch.normalised.reserve(rows * dim());
  scratch.positions.assign(usize(rows), step.cache->steps() - 1);
  embedding_.apply({step.tokens, scratch.positions}, scratch.x.data(), pool);
  for (std::int64_t i = 0; i < layers(); ++i) run_layer(i, step, scratch, pool);
  const T* features = scratch.x.data();
  if (layer_norm_.present()) layer_norm_.apply(scratch.x.data(), rows, scratch.x.data(), pool);
  if (project_out_.outputs() != 0) {
    scratch.narrow.reserve(rows * project_out_.outputs());
    project_out_.multiply({features, dim()}, rows, {scratch.narrow.data(), project_out_.outputs()},
                          {}, pool);
    features = scratch.narrow.data();
  }
  const T* bias = output_bias_.empty() ? nullptr : output_bias_.data();
  output_.multiply({features, output_.inputs()}, rows, {step.logits, vocab_size()}, {.bias = bias},
                   pool);
}

// fairseq/modules/transformer_layer.py TransformerDecoderLayerBase.forward.
template <typename T>
void Decoder<T>::run_layer(std::int64_t index, const Step& step, Scratch& scratch,
                           ThreadPool& pool) const {
  const Layer& layer = layers_[usize(index)];
  const std::int64_t rows = ssize(step.tokens.size());
  T* x = scratch.x.data();
  T* normalised = scratch.normalised.data();
  // Pre-norm blocks read LayerNorm(x), post-norm blocks read x and are normalised afterwards.
  const T* input = normalize_before_ ? normalised : x;

  if (normalize_before_) layer.self_norm.apply(x, rows, normalised, pool);
  attention::self_attention<T>({&layer.self, step.self_kind, index, input, x, x}, *step.cache,
                               scratch.attention, pool);
  if (!normalize_before_) layer.self_norm.apply(x, rows, x, pool);

  if (normalize_before_) layer.cross_norm.apply(x, rows, normalised, pool);
  attention::CrossStep<T> cross;
  cross.weights = &layer.cross;
  cross.encoder_out = step.encoder_out;
  cross.keys_values = step.keys_values->empty() ? nullptr : &(*step.keys_values)[usize(index)];
  cross.live = step.live;
  cross.rows = rows;
  cross.x = input;
  cross.residual = x;
  cross.y = x;
  attention::cross_attention(cross, scratch.attention, pool);
  if (!normalize_before_) layer.cross_norm.apply(x, rows, x, pool);

  if (normalize_before_) layer.final_norm.apply(x, rows, normalised, pool);
  layer.feed_forward.apply(input, rows, x, scratch.hidden, pool);
  if (!normalize_before_) layer.final_norm.apply(x, rows, x, pool);
}

template class Decoder<float>;
template class Decoder<double>;

}  // namespace elbeam::model
