// Self-attention of the encoder: every position of a sentence attends to all of that sentence.
#pragma once

#include "attention/self_attention.hpp"
#include "attention/weights.hpp"

#include <cstdint>
#include <span>

namespace elbeam::attention {

template <typename T>
struct EncoderStep {
  const Weights<T>* weights = nullptr;    // prepare_fused_qkv() was called
  std::span<const std::int64_t> offsets;  // [sentences + 1] rows of each sentence; offsets[0] = 0
  const T* x = nullptr;                   // [tokens, dim]
  const T* residual = nullptr;            // [tokens, dim]
  T* y = nullptr;                         // [tokens, dim]
};

// y = residual + Attention(x). Sentences are not padded, so nothing is masked.
template <typename T>
void encoder_attention(const EncoderStep<T>& step, Workspace<T>& work, ThreadPool& pool);

}  // namespace elbeam::attention
