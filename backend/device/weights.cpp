#include "device/weights.hpp"

#include "base/check.hpp"
#include "base/limits.hpp"
#include "model/attention_loader.hpp"
#include "model/embedding.hpp"
#include "model/layers.hpp"

#include <algorithm>
#include <cmath>

namespace elbeam::device {
namespace {

using kernels::from_float;

// Sinusoidal positions exist without end; tables on the device reach this far.
constexpr std::int64_t kSinusoidalRows = 4096;

template <typename T>
Buffer<T> upload(Device& device, std::span<const float> host, float scale = 1.0F) {
  if (host.empty()) return {};
  std::vector<T> converted(host.size());
  std::transform(host.begin(), host.end(), converted.begin(),
                 [&](float value) { return from_float<T>(scale * value); });
  return Buffer<T>(device, std::span<const T>(converted));
}

template <typename T>
NormWeights<T> load_norm(Device& device, Reader& reader, const std::string& name,
                         std::int64_t dim) {
  return {upload<T>(device, reader.vector(name + ".weight", dim)),
          upload<T>(device, reader.vector(name + ".bias", dim))};
}

template <typename T>
NormWeights<T> load_optional_norm(Device& device, Reader& reader, const std::string& name,
                                  std::int64_t dim) {
  return reader.has(name + ".weight") ? load_norm<T>(device, reader, name, dim) : NormWeights<T>{};
}

template <typename T>
Linear<T> load_linear(Device& device, Reader& reader, const std::string& name, std::int64_t outputs,
                      std::int64_t inputs) {
  return {upload<T>(device, reader.matrix(name + ".weight", outputs, inputs)),
          upload<T>(device, reader.optional_vector(name + ".bias", outputs)), outputs, inputs};
}

void append(std::vector<float>& all, std::span<const float> part, std::int64_t size, float scale) {
  if (part.empty()) all.resize(all.size() + usize(size), 0.0F);
  for (const float value : part) all.push_back(scale * value);
}

// b_O + W_O b_V: the attention weights sum to one, so the value bias passes through.
std::vector<float> fold_bias(const attention::Source<float>& source) {
  const SharedArray<float> weight = source.out.weight();
  std::vector<float> folded(usize(source.dim), 0.0F);
  for (std::int64_t r = 0; r < source.dim; ++r) {
    double sum = source.out.bias.empty() ? 0.0 : static_cast<double>(source.out.bias[usize(r)]);
    for (std::int64_t c = 0; c < source.dim && !source.v.bias.empty(); ++c) {
      sum += static_cast<double>(weight.values[usize(r * source.dim + c)]) *
             static_cast<double>(source.v.bias[usize(c)]);
    }
    folded[usize(r)] = static_cast<float>(sum);
  }
  return folded;
}

template <typename T>
AttentionWeights<T> load_attention(Device& device, Reader& reader, const std::string& prefix,
                                   const model::AttentionShape& shape, bool self) {
  const attention::Source<float> source = model::attention_source(reader, prefix, shape);
  const std::int64_t d = shape.dim;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d / shape.heads)));
  AttentionWeights<T> w;
  w.query = {upload<T>(device, source.q.weight().values, scale),
             upload<T>(device, source.q.bias, scale), d, d};
  w.key = {upload<T>(device, source.k.weight().values), upload<T>(device, source.k.bias), d,
           shape.key_dim};
  w.value = {upload<T>(device, source.v.weight().values), upload<T>(device, source.v.bias), d,
             shape.key_dim};
  w.output = {upload<T>(device, source.out.weight().values), {}, d, d};
  w.output_bias = upload<T>(device, source.out.bias);
  w.folded_output_bias = upload<T>(device, fold_bias(source));
  if (self) {
    std::vector<float> weight;
    std::vector<float> bias;
    const attention::Projection<float>* parts[] = {&source.q, &source.k, &source.v};
    for (const auto* part : parts) {
      append(weight, part->weight().values, d * d, part == &source.q ? scale : 1.0F);
      append(bias, part->bias, d, part == &source.q ? scale : 1.0F);
    }
    w.fused = {upload<T>(device, weight), upload<T>(device, bias), 3 * d, d};
  }
  return w;
}

void refuse(const Reader& reader, const std::string& name) {
  ELBEAM_CHECK(!reader.has(name), ErrorCode::kUnsupported, reader.path(), ": no device computes ",
               quoted(name, 200), " yet; use --device cpu");
}

template <typename T>
LayerWeights<T> load_layer(Device& device, Reader& reader, const StackWeights<T>& stack,
                           const std::string& prefix, std::int64_t encoder_dim) {
  for (const char* part : {".c_attn", ".attn_ln.weight", ".ffn_layernorm.weight", ".w_resid"})
    refuse(reader, prefix + part);
  const bool old_names = reader.has(prefix + ".layer_norms.0.weight");
  const bool crossing = encoder_dim != 0;
  const std::int64_t d = stack.dim;
  const auto norm = [&](const char* number, const char* name) {
    return load_norm<T>(device, reader,
                        prefix + (old_names ? concat(".layer_norms.", number) : name), d);
  };
  LayerWeights<T> layer;
  layer.self = load_attention<T>(device, reader, prefix + ".self_attn", {stack.heads, d, d}, true);
  layer.self_norm = norm("0", ".self_attn_layer_norm");
  const bool decoder = prefix.starts_with("decoder");
  layer.final_norm = norm(decoder ? "2" : "1", ".final_layer_norm");
  if (crossing) {
    layer.cross = load_attention<T>(device, reader, prefix + ".encoder_attn",
                                    {stack.heads, d, encoder_dim}, false);
    layer.cross_norm = norm("1", ".encoder_attn_layer_norm");
  }
  const std::int64_t hidden = reader.extent(prefix + ".fc1.weight", 2, 0);
  layer.fc1 = load_linear<T>(device, reader, prefix + ".fc1", hidden, d);
  layer.fc2 = load_linear<T>(device, reader, prefix + ".fc2", d, hidden);
  return layer;
}

template <typename T>
void load_embedding(Device& device, Reader& reader, const model::TransformerConfig& config,
                    const std::string& side, StackWeights<T>& stack) {
  for (const char* part :
       {".project_in_dim.weight", ".quant_noise.weight", ".embed_tokens.embeddings.0.1.weight"}) {
    refuse(reader, side + part);
  }
  const std::string tokens = side + ".embed_tokens.weight";
  stack.vocab = reader.extent(tokens, 2, 0);
  stack.dim = reader.extent(tokens, 2, 1);
  ELBEAM_CHECK(stack.vocab >= 4 && stack.dim >= 1 && stack.dim <= limits::kMaxModelWidth,
               ErrorCode::kModel, reader.path(), ": ", tokens, ": impossible size ", stack.vocab,
               " x ", stack.dim);
  stack.tokens = upload<T>(device, reader.matrix(tokens, stack.vocab, stack.dim));
  if (config.scale_embedding)
    stack.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(stack.dim)));
  const model::StackConfig& settings = side == "encoder" ? config.encoder : config.decoder;
  stack.max_positions = settings.max_positions;
  if (config.positional_embeddings) {
    ELBEAM_CHECK(settings.learned_positions || stack.dim >= 4, ErrorCode::kModel, reader.path(),
                 ": sinusoidal positions need a width of 4 at least, got ", stack.dim);
    const model::PositionTable<float> table(reader, side, settings.learned_positions, stack.dim);
    stack.max_positions = std::min(stack.max_positions, table.limit());
    const std::int64_t rows =
        settings.learned_positions ? table.limit() : std::min(stack.max_positions, kSinusoidalRows);
    stack.max_positions = std::min(stack.max_positions, rows);
    stack.positions =
        upload<T>(device, {table.rows(rows).get(), usize(checked_mul(rows, stack.dim))});
  }
  stack.embedding_norm =
      load_optional_norm<T>(device, reader, side + ".layernorm_embedding", stack.dim);
}

// Checkpoints of old versions did not normalise after the stack (upgrade_state_dict_named).
bool has_last_norm(Reader& reader, const model::TransformerConfig& config,
                   const std::string& side) {
  if (side == "encoder")
    return config.encoder.normalize_before && reader.scalar("encoder.version", 1.0) >= 2.0;
  return config.decoder.normalize_before && config.decoder_final_norm &&
         reader.scalar("decoder.version", 1.0) > 2.0;
}

}  // namespace

template <typename T>
StackWeights<T> load_stack(Device& device, Reader& reader, const model::TransformerConfig& config,
                           const std::string& side, std::int64_t encoder_dim) {
  const model::StackConfig& settings = side == "encoder" ? config.encoder : config.decoder;
  StackWeights<T> stack;
  stack.heads = settings.heads;
  stack.normalize_before = settings.normalize_before;
  stack.activation = config.activation;
  load_embedding(device, reader, config, side, stack);
  const std::int64_t layers = model::count_layers(reader, side);
  for (std::int64_t i = 0; i < layers; ++i) {
    stack.layers.push_back(
        load_layer(device, reader, stack, concat(side, ".layers.", i), encoder_dim));
  }
  if (has_last_norm(reader, config, side))
    stack.last_norm = load_norm<T>(device, reader, side + ".layer_norm", stack.dim);
  return stack;
}

template <typename T>
Linear<T> load_output(Device& device, Reader& reader, std::int64_t dim) {
  for (const char* part : {"decoder.project_out_dim.weight", "decoder.adaptive_softmax.version"})
    refuse(reader, part);
  std::string name = "decoder.output_projection.weight";
  if (!reader.has(name))
    name = reader.has("decoder.embed_out") ? "decoder.embed_out" : "decoder.embed_tokens.weight";
  const std::int64_t vocab = reader.extent(name, 2, 0);
  return {upload<T>(device, reader.matrix(name, vocab, dim)),
          upload<T>(device, reader.optional_vector("decoder.output_projection.bias", vocab)), vocab,
          dim};
}

template StackWeights<float> load_stack(Device&, Reader&, const model::TransformerConfig&,
                                        const std::string&, std::int64_t);
template StackWeights<kernels::Half> load_stack(Device&, Reader&, const model::TransformerConfig&,
                                                const std::string&, std::int64_t);
template Linear<float> load_output(Device&, Reader&, std::int64_t);
template Linear<kernels::Half> load_output(Device&, Reader&, std::int64_t);

}  // namespace elbeam::device
