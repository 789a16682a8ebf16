// One step of the decoder's self-attention, as multi-head and as EL-attention.
#pragma once

#include "attention/self_cache.hpp"
#include "attention/weights.hpp"
#include "base/thread_pool.hpp"

#include <cstdint>
#include <span>

namespace elbeam::attention {

// Scratch space of a step, reused by all layers; it only grows.
template <typename T>
struct Workspace {
  AlignedBuffer<T> projected;  // q, or q k v
  AlignedBuffer<T>
      expanded;  // EL: expanded queries and pooled hidden states [rows, heads, key_dim]
  AlignedBuffer<T> scores;
  AlignedBuffer<T> context;  // [rows, dim] heads side by side
};

// Numbers that one layer keeps for each token: keys and values, or the hidden state.
std::int64_t self_cache_width(Kind kind, std::int64_t dim) noexcept;

template <typename T>
struct SelfStep {
  const Weights<T>* weights = nullptr;
  Kind kind = Kind::kMha;
  std::int64_t layer = 0;
  const T* x = nullptr;  // [rows, dim] the block's input (after LayerNorm in pre-norm models)
  const T* residual = nullptr;  // [rows, dim] added to the result, or nullptr
  T* y = nullptr;               // [rows, dim]
};

// Writes the step's slots of the layer and computes y = residual + Attention(x). The cache's
// current step gives the rows. The weights were prepared: prepare_fused_qkv() for kMha,
// prepare(kEl) for kEl.
template <typename T>
void self_attention(const SelfStep<T>& step, SelfCache<T>& cache, Workspace<T>& work,
                    ThreadPool& pool);

// The same over whole sentences whose tokens are known.
template <typename T>
struct ForcedSelfStep {
  SelfStep<T> step;
  std::span<const std::int64_t> offsets;  // [sentences + 1] rows of each sentence; offsets[0] = 0
  bool causal = true;
  // Where to leave what later steps need, or nullptr: sentence s is row first_row + s of the cache,
  // whose steps 0 .. length - 1 begin_steps() has opened.
  SelfCache<T>* cache = nullptr;
  std::int64_t first_row = 0;
};

// The weights were prepared with prepare_fused_qkv() for either kind.
template <typename T>
void forced_self_attention(const ForcedSelfStep<T>& forced, Workspace<T>& work, ThreadPool& pool);

}  // namespace elbeam::attention
