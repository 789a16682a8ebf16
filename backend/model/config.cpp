#include "model/config.hpp"

#include "base/check.hpp"
#include "base/limits.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace elbeam::model {
namespace {

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
  return std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view prefix) {
    return name.substr(0, prefix.size()) == prefix;
  });
}

void refuse_unsupported(const Fields& fields, const TransformerConfig& config,
                        const std::string& where) {
  const auto refuse = [&](const std::string& what) {
    fail(ErrorCode::kUnsupported, where, ": the native engine cannot run ", what,
         "; export the model (python -m torchscript_models.export) and use --engine torchscript");
  };
  const std::string& arch = config.architecture;
  const bool transformer =
      starts_with_any(arch, {"transformer", "bart"}) &&
      !starts_with_any(arch, {"transformer_lm", "transformer_align", "transformer_ulm"});
  if (!transformer) refuse(concat("architecture ", quoted(arch)));
  for (const char* key :
       {"cross_self_attention", "no_cross_attention", "adaptive_input", "char_inputs"}) {
    if (fields.flag(key, false)) refuse(concat("a model with ", key));
  }
  if (fields.present("adaptive_softmax_cutoff")) refuse("adaptive softmax");
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
  fail(ErrorCode::kUnsupported, where, ": unknown activation_fn ", quoted(name));
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
  result.encoder.heads = fields.integer("encoder_attention_heads", 8, limits::kMaxModelWidth);
  result.decoder.heads = fields.integer("decoder_attention_heads", 8, limits::kMaxModelWidth);
  result.encoder.normalize_before = fields.flag("encoder_normalize_before", false);
  result.decoder.normalize_before = fields.flag("decoder_normalize_before", false);
  result.encoder.learned_positions = fields.flag("encoder_learned_pos", false);
  result.decoder.learned_positions = fields.flag("decoder_learned_pos", false);
  result.encoder.max_positions =
      fields.integer("max_source_positions", 1024, limits::kMaxSequenceLength);
  result.decoder.max_positions =
      fields.integer("max_target_positions", 1024, limits::kMaxSequenceLength);
  result.activation = parse_activation(fields.text("activation_fn", "relu"), where);
  result.scale_embedding = !fields.flag("no_scale_embedding", false);
  result.positional_embeddings = !fields.flag("no_token_positional_embeddings", false);
  result.decoder_final_norm = !fields.flag("no_decoder_final_norm", false);
  return result;
}

}  // namespace elbeam::model
