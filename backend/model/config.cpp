#include "model/config.hpp"

#include "base/check.hpp"
#include "base/limits.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

namespace elbeam::model {
namespace {

constexpr const char* kUseTorchScript =
    "; export the model (python -m torchscript_models.export) and use --engine torchscript";

// Typed access to cfg.model with fairseq's defaults for what is absent or None.
class Fields {
 public:
  Fields(const nlohmann::json& model, const std::string& where) : model_(model), where_(where) {}

  bool flag(const char* key, bool otherwise) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) return otherwise;
    if (value->is_number_integer()) return value->get<std::int64_t>() != 0;
    ELBEAM_CHECK(value->is_boolean(), ErrorCode::kModel, where_, ": config value model.", key,
                 ": expected a boolean, got ", quoted(value->dump()));
    return value->get<bool>();
  }

  std::int64_t integer(const char* key, std::int64_t otherwise, std::int64_t highest) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) return otherwise;
    ELBEAM_CHECK(value->is_number_integer(), ErrorCode::kModel, where_, ": config value model.",
                 key, ": expected an integer, got ", quoted(value->dump()));
    const auto number = value->get<std::int64_t>();
    ELBEAM_CHECK(number >= 1 && number <= highest, ErrorCode::kModel, where_,
                 ": config value model.", key, ": expected 1 to ", highest, ", got ", number);
    return number;
  }

  std::string text(const char* key, const std::string& otherwise) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) return otherwise;
    ELBEAM_CHECK(value->is_string(), ErrorCode::kModel, where_, ": config value model.", key,
                 ": expected a string, got ", quoted(value->dump()));
    return value->get<std::string>();
  }

  double number(const char* key) const {  // 0 where absent
    const nlohmann::json* value = find(key);
    if (value == nullptr) return 0.0;
    ELBEAM_CHECK(value->is_number() || value->is_boolean(), ErrorCode::kModel, where_,
                 ": config value model.", key, ": expected a number, got ", quoted(value->dump()));
    return value->is_boolean() ? (value->get<bool>() ? 1.0 : 0.0) : value->get<double>();
  }

  bool present(const char* key) const { return find(key) != nullptr; }

 private:
  const nlohmann::json* find(const char* key) const {
    const auto it = model_.find(key);
    return it == model_.end() || it->is_null() ? nullptr : &*it;
  }

  const nlohmann::json& model_;
  const std::string& where_;
};

bool starts_with_any(std::string_view name, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

// Of fairseq's ARCH_MODEL_REGISTRY: the architectures of its models transformer, transformer_align,
// transformer_from_pretrained_xlm, bart, multilingual_transformer and transformer_lm, and names
// that users derive from these.
bool is_supported(std::string_view arch) {
  return starts_with_any(arch, {"transformer", "bart", "mbart", "multilingual_transformer"}) &&
         !starts_with_any(arch, {"transformer_ulm", "transformer_pointer_generator",
                                 "transformer_lm_megatron"}) &&
         !arch.ends_with("_pipeline_parallel");
}

void refuse_unsupported(const Fields& fields, const TransformerConfig& config,
                        const std::string& where) {
  const auto refuse = [&](const std::string& what) {
    fail(ErrorCode::kUnsupported, where, ": the native engine cannot run ", what, kUseTorchScript);
  };
  if (!is_supported(config.architecture))
    refuse(concat("architecture ", quoted(config.architecture)));
  for (const char* key :
       {"cross_self_attention", "char_inputs", "character_embeddings", "merge_src_tgt_embed"}) {
    if (fields.flag(key, false)) refuse(concat("a model with ", key));
  }
  if (fields.number("quant_noise_scalar") != 0.0) refuse("a model with quant_noise_scalar");
  if (fields.number("base_layers") != 0.0) refuse("a model with base_layers");
  for (const char* key : {"encoder_xformers_att_config", "decoder_xformers_att_config"}) {
    if (fields.present(key) && fields.text(key, "") != "None") refuse(concat("a model with ", key));
  }
}

// "0,2,4" as ascending numbers.
std::vector<std::int64_t> parse_kept_layers(const std::string& text, const char* key,
                                            const std::string& where) {
  std::vector<std::int64_t> layers;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    std::int64_t layer = -1;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), layer);
    ELBEAM_CHECK(text.back() != ',' && error == std::errc() && end == item.data() + item.size() &&
                     layer >= 0 && layer < limits::kMaxLayers,
                 ErrorCode::kModel, where, ": config value model.", key,
                 ": expected layer numbers with commas between them, got ", quoted(text));
    layers.push_back(layer);
  }
  std::sort(layers.begin(), layers.end());
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  return layers;
}

constexpr std::int64_t kDefaultPositions = 1024;  // DEFAULT_MAX_{SOURCE,TARGET}_POSITIONS

struct StackKeys {
  const char* heads;
  const char* normalize_before;
  const char* learned_positions;
  const char* max_positions;
  const char* layers_to_keep;
};
constexpr StackKeys kEncoderKeys{"encoder_attention_heads", "encoder_normalize_before",
                                 "encoder_learned_pos", "max_source_positions",
                                 "encoder_layers_to_keep"};
constexpr StackKeys kDecoderKeys{"decoder_attention_heads", "decoder_normalize_before",
                                 "decoder_learned_pos", "max_target_positions",
                                 "decoder_layers_to_keep"};

StackConfig parse_stack(const Fields& fields, const StackKeys& keys, const std::string& where) {
  StackConfig stack;
  stack.heads = fields.integer(keys.heads, 8, limits::kMaxModelWidth);
  stack.normalize_before = fields.flag(keys.normalize_before, false);
  stack.learned_positions = fields.flag(keys.learned_positions, false);
  stack.max_positions =
      fields.integer(keys.max_positions, kDefaultPositions, limits::kMaxSequenceLength);
  stack.kept_layers =
      parse_kept_layers(fields.text(keys.layers_to_keep, ""), keys.layers_to_keep, where);
  return stack;
}

kernels::Activation parse_activation(const std::string& name, const std::string& where) {
  using kernels::Activation;
  static constexpr std::array<std::pair<std::string_view, Activation>, 8> kNames{{
      {"relu", Activation::kRelu},
      {"gelu", Activation::kGelu},
      {"gelu_accurate", Activation::kGeluAccurate},
      {"gelu_fast", Activation::kGeluAccurate},
      {"tanh", Activation::kTanh},
      {"linear", Activation::kNone},
      {"swish", Activation::kSwish},
      {"silu", Activation::kSwish},
  }};
  for (const auto& [known, activation] : kNames) {
    if (name == known) return activation;
  }
  fail(ErrorCode::kUnsupported, where, ": the native engine cannot run activation_fn ",
       quoted(name), kUseTorchScript);
}

}  // namespace

TransformerConfig parse_transformer_config(const nlohmann::json& config, const std::string& where) {
  const auto it = config.find("model");
  ELBEAM_CHECK(it != config.end() && it->is_object(), ErrorCode::kModel, where,
               ": the file carries no model configuration (neither cfg.model nor args)");
  const Fields fields(*it, where);
  TransformerConfig result;
  result.architecture = fields.text("arch", fields.text("_name", "transformer"));
  refuse_unsupported(fields, result, where);
  result.has_encoder = !result.architecture.starts_with("transformer_lm");
  result.multilingual = result.architecture.starts_with("multilingual_transformer");
  result.cross_attention = result.has_encoder && !fields.flag("no_cross_attention", false);
  if (result.has_encoder) result.encoder = parse_stack(fields, kEncoderKeys, where);
  result.decoder = parse_stack(fields, kDecoderKeys, where);
  if (!result.has_encoder) {
    // base_lm_architecture: pre-norm unless a Hydra configuration says otherwise.
    result.decoder.normalize_before = fields.flag("decoder_normalize_before", true);
    if (!fields.present("max_target_positions")) {
      result.decoder.max_positions =
          fields.integer("tokens_per_sample", kDefaultPositions, limits::kMaxSequenceLength);
    }
  }
  result.activation = parse_activation(fields.text("activation_fn", "relu"), where);
  result.scale_embedding = !fields.flag("no_scale_embedding", false);
  result.positional_embeddings = !fields.flag("no_token_positional_embeddings", false);
  result.decoder_final_norm = !fields.flag("no_decoder_final_norm", false);
  bool tie_projections = fields.flag("tie_adaptive_proj", false);
  if (!result.has_encoder) {  // base_lm_architecture, on language models of 2018
    if (fields.present("no_tie_adaptive_proj")) {
      result.decoder_final_norm = false;
      tie_projections = tie_projections || !fields.flag("no_tie_adaptive_proj", true);
    }
    if (fields.present("decoder_final_norm"))
      result.decoder_final_norm = fields.flag("decoder_final_norm", true);
  }
  result.tie_adaptive_projections = tie_projections && fields.flag("tie_adaptive_weights", false);
  return result;
}

}  // namespace elbeam::model
