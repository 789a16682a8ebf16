// Self-attention over whole sentences: of the encoder, where every position attends to all of its
// sentence, and of a decoder that is given its tokens, where it attends to itself and what is
// before.
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
  bool causal = false;                    // position t attends to positions 0 .. t only
};

// y = residual + Attention(x). Sentences are not padded. Afterwards work.projected holds q, k and v
// of each token, [tokens, 3 dim]. residual may be nullptr.
template <typename T>
void encoder_attention(const EncoderStep<T>& step, Workspace<T>& work, ThreadPool& pool);

}  // namespace elbeam::attention
