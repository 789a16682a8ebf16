#include "model/initialisation_draws.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <string_view>

namespace elbeam::model {
namespace {

using Tensors = std::map<std::string, archive::TensorView, std::less<>>;

// Python's truth of a value in the configuration.
bool is_set(const nlohmann::json& model, const char* key) {
  const auto it = model.find(key);
  if (it == model.end() || it->is_null()) return false;
  if (it->is_boolean()) return it->get<bool>();
  if (it->is_number()) return it->get<double>() != 0.0;
  if (it->is_string()) return !it->get_ref<const std::string&>().empty();
  return !it->empty();
}

std::string architecture(const nlohmann::json& model) {
  for (const char* key : {"arch", "_name"}) {
    const auto it = model.find(key);
    if (it != model.end() && it->is_string()) return it->get<std::string>();
  }
  return "transformer";
}

// What torch's fill functions take from the generator.
class Draws {
 public:
  // uniform_(), and nn.init's kaiming_uniform_ and xavier_uniform_, which end in it.
  void uniform(std::int64_t elements) { total_ += elements; }

  // normal_() fills 16 elements and more in blocks of 16 from one number each, and does the last 16
  // again where there is a remainder. Fewer elements come in pairs from two doubles; an odd one is
  // kept for the next call.
  void normal(std::int64_t elements) {
    if (elements < 16) {
      singles_ += elements;
    } else {
      total_ += elements + (elements % 16 == 0 ? 0 : 16);
    }
  }

  std::int64_t total() const { return total_ + 4 * ((singles_ + 1) / 2); }

 private:
  std::int64_t total_ = 0;
  std::int64_t singles_ = 0;
};

// Walks over the names of a state dict and counts what made each tensor.
class InitialisationCounter {
 public:
  InitialisationCounter(const nlohmann::json& model, const Tensors& tensors)
      : tensors_(tensors),
        bert_(architecture(model).find("bart") != std::string::npos),
        one_table_(is_set(model, "share_all_embeddings") || is_set(model, "merge_src_tgt_embed")),
        tied_output_(one_table_ || is_set(model, "share_decoder_input_output_embed")),
        tied_adaptive_(is_set(model, "tie_adaptive_weights")),
        tied_projections_(is_set(model, "tie_adaptive_proj")),
        adaptive_softmax_(is_set(model, "adaptive_softmax_cutoff")),
        loads_heads_(is_set(model, "load_checkpoint_heads")) {}

  std::optional<std::int64_t> count() {
    for (const auto& [name, view] : tensors_) {
      if (!add(name, view.element_count())) return std::nullopt;
    }
    add_missing_output();
    return draws_.total();
  }

 private:
  bool add(std::string_view name, std::int64_t elements) {
    if (name.starts_with("classification_heads.")) return !loads_heads_;
    const bool weight = name.ends_with(".weight");
    if (name.find(".adaptive_softmax.") != std::string_view::npos) {
      return add_adaptive_softmax(name, elements);
    }
    if (draws_nothing(name)) return true;
    if (name.find("_attn.") != std::string_view::npos) return add_attention(name, elements);
    if (ends_with_any(name, {".fc1.weight", ".fc2.weight", ".quant_noise.weight"})) {
      linear(elements);
    } else if (ends_with_any(name, {".fc1.bias", ".fc2.bias"})) {
      draws_.uniform(elements);
    } else if (ends_with_any(name, {".project_in_dim.weight", ".project_out_dim.weight"})) {
      linear(elements);
      draws_.uniform(elements);  // xavier_uniform_
    } else if (ends_with_any(name, {".output_projection.weight", ".embed_out"})) {
      output(elements);
    } else if (ends_with_any(name, {".embed_tokens.weight", ".embed_positions.weight"})) {
      add_table(name, elements);
    } else if (name.find(".embed_tokens.embeddings.") != std::string_view::npos && weight) {
      add_adaptive_input(name, elements);
    } else {
      return false;
    }
    return true;
  }

  static bool ends_with_any(std::string_view name,
                            std::initializer_list<std::string_view> suffixes) {
    return std::any_of(suffixes.begin(), suffixes.end(),
                       [&](std::string_view suffix) { return name.ends_with(suffix); });
  }

  // Constants: norms, scales, buffers, tables of sinusoids.
  static bool draws_nothing(std::string_view name) {
    for (const std::string_view part :
         {"layer_norm", "layernorm", "_attn_ln.", ".attn_ln.", ".w_resid", ".c_attn"}) {
      if (name.find(part) != std::string_view::npos) return true;
    }
    return ends_with_any(name, {".version", "._float_tensor", ".embed_positions.weights"});
  }

  // nn.Linear without its bias; BART then draws all of them anew (init_bert_params).
  void linear(std::int64_t elements) {
    draws_.uniform(elements);
    if (bert_) draws_.normal(elements);
  }

  // fairseq's Embedding() draws over what nn.Embedding drew. Both sides may have one table, which
  // init_bert_params reaches by way of each.
  void add_table(std::string_view name, std::int64_t elements) {
    const bool second_name = one_table_ && name == "decoder.embed_tokens.weight";
    if (!second_name) {
      draws_.normal(elements);
      draws_.normal(elements);
    }
    if (bert_) draws_.normal(elements);
  }

  // MultiheadAttention; old checkpoints hold its three projections in one tensor.
  bool add_attention(std::string_view name, std::int64_t elements) {
    if (ends_with_any(name, {"_proj.bias", ".in_proj_bias"})) {
      draws_.uniform(elements);
      return true;
    }
    const std::int64_t parts = name.ends_with(".in_proj_weight") ? 3 : 1;
    if (parts == 1 && !name.ends_with("_proj.weight")) return false;
    for (std::int64_t i = 0; i < parts; ++i) {
      linear(elements / parts);
      draws_.uniform(elements / parts);  // xavier_uniform_
      if (bert_ && !name.ends_with(".out_proj.weight")) draws_.normal(elements / parts);
    }
    return true;
  }

  void output(std::int64_t elements) {
    has_output_ = true;
    linear(elements);
    if (!tied_output_) draws_.normal(elements);
  }

  // Checkpoints from before output_projection; fairseq makes one all the same.
  void add_missing_output() {
    const auto table = tensors_.find("decoder.embed_tokens.weight");
    if (has_output_ || adaptive_softmax_ || table == tensors_.end()) return;
    output(table->second.element_count());
  }

  // AdaptiveInput: per band an embedding (0) and a linear layer (1), both drawn twice.
  void add_adaptive_input(std::string_view name, std::int64_t elements) {
    if (name.ends_with(".0.weight")) {
      draws_.normal(elements);
      draws_.normal(elements);
      if (bert_) draws_.normal(elements);
    } else {
      linear(elements);
      draws_.uniform(elements);
    }
  }

  // AdaptiveSoftmax: linear layers that are drawn twice, apart from those that are the input's.
  bool add_adaptive_softmax(std::string_view name, std::int64_t elements) {
    if (!name.ends_with(".weight")) return draws_nothing(name);
    const bool tail = name.find(".tail.") != std::string_view::npos;
    const bool projection = tail && name.ends_with(".0.weight");
    bool tied = false;
    if (tied_adaptive_) {
      const bool words =
          ends_with_any(name, {".head.word_proj.weight", ".head.word_proj.1.weight"});
      tied = projection ? tied_projections_ : tail || words;
    }
    if (tied) return true;
    linear(elements);
    draws_.uniform(elements);
    return true;
  }

  const Tensors& tensors_;
  const bool bert_;
  const bool one_table_;
  const bool tied_output_;
  const bool tied_adaptive_;
  const bool tied_projections_;
  const bool adaptive_softmax_;
  const bool loads_heads_;
  bool has_output_ = false;
  Draws draws_;
};

}  // namespace

std::optional<std::int64_t> initialisation_draws(const nlohmann::json& config,
                                                 const Tensors& tensors) {
  const auto model = config.find("model");
  if (model == config.end() || !model->is_object()) return std::nullopt;
  const std::string arch = architecture(*model);
  const bool known =
      arch.starts_with("transformer") || arch.starts_with("bart") || arch.starts_with("mbart");
  if (!known) return std::nullopt;
  for (const char* key : {"encoder_layers_to_keep", "decoder_layers_to_keep"}) {
    if (is_set(*model, key)) return std::nullopt;
  }
  return InitialisationCounter(*model, tensors).count();
}

}  // namespace elbeam::model
