// How many random numbers fairseq draws when it builds a model, before the checkpoint's weights
// replace them. fairseq-generate sets its seed before that, so what it samples depends on it.
#pragma once

#include "archive/checkpoint.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace elbeam::model {

// 32-bit draws from torch's CPU generator (torch 2.11) of building the model whose state dict has
// these names and shapes and whose configuration is `config` (Checkpoint::config()). Independent of
// the seed. Knows fairseq's Transformers: translation, BART and language models, with quant noise,
// LayerDrop, adaptive inputs and adaptive softmax. std::nullopt for anything else: a tensor that no
// rule covers, layers that were left out on loading, heads that are loaded. Pure.
std::optional<std::int64_t> initialisation_draws(
    const nlohmann::json& config,
    const std::map<std::string, archive::TensorView, std::less<>>& tensors);

}  // namespace elbeam::model
