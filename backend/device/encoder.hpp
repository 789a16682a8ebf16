// The Transformer encoder on a device, over sentences laid one after another without padding.
#pragma once

#include <elbeam/step_model.hpp>

#include "device/layers.hpp"

#include <vector>

namespace elbeam::device {

template <typename T>
struct EncoderOut {
  Buffer<T> hidden;                   // [total tokens, dim]
  std::vector<std::int64_t> offsets;  // [sentences + 1]
  std::int64_t dim = 0;

  std::int64_t sentences() const noexcept { return ssize(offsets.size()) - 1; }
  std::int64_t tokens() const noexcept { return offsets.back(); }
  std::int64_t length(std::int64_t s) const noexcept {
    return offsets[usize(s + 1)] - offsets[usize(s)];
  }
};

// fairseq's TransformerEncoder.forward. Throws Error(kModel) for a sentence that is empty, too
// long, holds padding or an id outside the vocabulary.
template <typename T>
EncoderOut<T> encode(const Layers<T>& layers, const SourceBatch& batch);

}  // namespace elbeam::device
