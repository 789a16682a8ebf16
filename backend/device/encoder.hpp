// The Transformer encoder on a device, over sentences laid one after another without padding.
#pragma once

#include <elbeam/step_model.hpp>

#include "device/sources.hpp"

#include <functional>
#include <span>

namespace elbeam::device {

// Throws Error(kModel) for a sentence that is empty, too long, holds padding or an id outside the
// vocabulary.
template <typename T>
void check_sources(const StackWeights<T>& encoder, const SourceBatch& batch);

// fairseq's TransformerEncoder.forward over sentences of a batch that was checked: they go to
// where their sources are to lie, some thousand tokens at a time.
template <typename T>
void encode(const Layers<T>& encoder, const SourceBatch& batch, std::span<const SourceAt> sentences,
            Sources<T>& to);

// Numbers that encode() takes of the device's memory for so many tokens, the longest sentence's
// included.
template <typename T>
std::int64_t encoder_numbers(const StackWeights<T>& encoder, std::int64_t tokens,
                             std::int64_t longest);

}  // namespace elbeam::device
