// The shape of a fairseq Transformer, from the configuration that its checkpoint carries.
#pragma once

#include "kernels/kernels.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace elbeam::model {

// One side of the model. Widths, layer counts and optional parts (adaptive tables, NormFormer's
// scales, layernorm_embedding) come from the tensors themselves; the configuration gives what no
// tensor shows.
struct StackConfig {
  std::int64_t heads = 0;
  bool normalize_before = false;  // pre-norm layers
  bool learned_positions = false;
  std::int64_t max_positions = 0;  // --max-source-positions / --max-target-positions
  // --encoder-layers-to-keep / --decoder-layers-to-keep, ascending; empty: all. Layer i of the
  // pruned model is layer kept_layers[i] of the file (checkpoint_utils.prune_state_dict).
  std::vector<std::int64_t> kept_layers;
};

struct TransformerConfig {
  std::string architecture;
  StackConfig encoder;
  StackConfig decoder;
  kernels::Activation activation = kernels::Activation::kRelu;
  bool scale_embedding = true;        // multiply embeddings by sqrt(dim)
  bool positional_embeddings = true;  // false: --no-token-positional-embeddings
  bool decoder_final_norm = true;     // false: --no-decoder-final-norm
  bool has_encoder = true;            // false: a language model (transformer_lm*)
  bool cross_attention = true;        // false: --no-cross-attention, and language models
  bool multilingual = false;          // tensors are models.<source>-<target>.encoder... (per pair)
  bool tie_adaptive_projections = false;  // --tie-adaptive-proj with --tie-adaptive-weights
};

// Reads {"model": {...}, ...} (archive::Checkpoint::config()). A key that an old checkpoint lacks
// has fairseq's base_architecture default. `where` is the file, for messages. Throws
// Error(kUnsupported) for an architecture that the native engine cannot run, naming
// --engine torchscript, and Error(kModel) for a value of the wrong type or out of range.
TransformerConfig parse_transformer_config(const nlohmann::json& config, const std::string& where);

}  // namespace elbeam::model
