// GPT-2 as Hugging Face's transformers saves it, seen as a fairseq language model.
#pragma once

#include "archive/checkpoint.hpp"

#include <memory>

namespace elbeam::model {

// A view of a folder's config.json and model.safetensors (CheckpointFormat::kHuggingFace) under
// fairseq's names, with a configuration of architecture transformer_lm_gpt2 and a dictionary
// ("dict.src.txt", "dict.tgt.txt").
//
// GPT-2's ids have no room for fairseq's four special symbols, so the vocabulary becomes <s>,
// <pad>,
// </s>, <unk>, and then GPT-2's ids in their order without that of its end-of-text, each under its
// own number as symbol: what `--bpe gpt2` with the folder's vocab.json and merges.txt writes. </s>
// (and <s>, as something to start from) is end-of-text; <s>, <pad> and <unk> are never predicted.
//
// Conv1D weights are read transposed where they lie; the token and position tables are copied with
// their rows moved. Throws Error: kUnsupported for another kind of model or an option that changes
// the arithmetic, kModel for tensors that do not fit.
std::shared_ptr<const archive::Checkpoint> gpt2_as_fairseq(
    std::shared_ptr<const archive::Checkpoint> checkpoint);

}  // namespace elbeam::model
