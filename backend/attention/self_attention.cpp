#include "attention/self_attention.hpp"

#include "attention/encoder_attention.hpp"

#include <algorithm>

namespace elbeam::attention {
namespace {

// Scores of one head: room for a whole page of steps, so that not every step has to find new room.
template <typename T>
std::int64_t score_room(const SelfCache<T>& cache) {
  constexpr std::int64_t kPage = SelfCache<T>::kPageSteps;
  return (cache.steps() + kPage - 1) / kPage * kPage;
}

template <typename T>
void multi_head(const SelfStep<T>& step, SelfCache<T>& cache, Workspace<T>& work,
                ThreadPool& pool) {
  const Weights<T>& w = *step.weights;
  const std::int64_t rows = cache.rows();
  const std::int64_t d = w.dim();
  work.projected.reserve(rows * 3 * d);
  work.scores.reserve(rows * w.heads() * score_room(cache));
  work.context.reserve(rows * d);
  T* qkv = work.projected.data();
  w.fused_qkv().multiply({step.x, d}, rows, {qkv, 3 * d}, {.bias = w.fused_qkv_bias()}, pool);
  pool.parallel_for(rows, [&](std::int64_t row) {
    T* slot = cache.current(row, step.layer);
    std::copy_n(qkv + row * 3 * d + d, 2 * d, slot);
  });
  // A row may read what another row of this step wrote only through a later step's reorder, yet the
  // two loops stay apart: a slot must be complete before its own row attends to it.
  pool.parallel_for(rows, [&](std::int64_t row) {
    kernels::HeadAttention<T> a;
    a.heads = w.heads();
    a.width = a.head_stride = w.head_dim();
    a.length = cache.steps();
    a.query = qkv + row * 3 * d;
    a.keys = a.values = cache.history(row);
    a.key_offset = cache.layer_offset(step.layer);
    a.value_offset = a.key_offset + d;
    a.scores = work.scores.data() + row * a.heads * a.length;
    a.context = work.context.data() + row * d;
    kernels::kernels<T>().attend(a);
  });
  w.output().multiply({work.context.data(), d}, rows, {step.y, d},
                      {.bias = w.output_bias(), .residual = step.residual}, pool);
}

template <typename T>
void el(const SelfStep<T>& step, SelfCache<T>& cache, Workspace<T>& work, ThreadPool& pool) {
  const Weights<T>& w = *step.weights;
  const std::int64_t rows = cache.rows();
  const std::int64_t d = w.dim();
  const std::int64_t heads = w.heads();
  work.projected.reserve(rows * d);
  work.expanded.reserve(2 * rows * heads * d);
  work.scores.reserve(rows * heads * score_room(cache));
  work.context.reserve(rows * d);
  T* q = work.projected.data();
  T* expanded = work.expanded.data();
  T* pooled = expanded + rows * heads * d;
  w.query().multiply({step.x, d}, rows, {q, d}, {.bias = w.query_bias()}, pool);
  pool.parallel_for(heads, [&](std::int64_t head) {  // q~_i = q_i W_K_i
    kernels::kernels<T>().gemm_nn({.m = rows,
                                   .n = d,
                                   .k = w.head_dim(),
                                   .a = q + head * w.head_dim(),
                                   .lda = d,
                                   .b = w.key_slice(head),
                                   .ldb = d,
                                   .c = expanded + head * d,
                                   .ldc = heads * d});
  });
  pool.parallel_for(rows, [&](std::int64_t row) {  // c_i = softmax(q~_i X^T) X
    std::copy_n(step.x + row * d, d, cache.current(row, step.layer));
    kernels::HeadAttention<T> a;
    a.heads = heads;
    a.width = d;
    a.head_stride = 0;
    a.length = cache.steps();
    a.query = expanded + row * heads * d;
    a.keys = a.values = cache.history(row);
    a.key_offset = a.value_offset = cache.layer_offset(step.layer);
    a.scores = work.scores.data() + row * heads * a.length;
    a.context = pooled + row * heads * d;
    kernels::kernels<T>().attend(a);
  });
  pool.parallel_for(heads, [&](std::int64_t head) {  // o_i = c_i W_V_i
    w.value_slice(head).multiply({pooled + head * d, heads * d}, rows,
                                 {work.context.data() + head * w.head_dim(), d}, {});
  });
  w.output().multiply({work.context.data(), d}, rows, {step.y, d},
                      {.bias = w.folded_output_bias(), .residual = step.residual}, pool);
}

}  // namespace

std::int64_t self_cache_width(Kind kind, std::int64_t dim) noexcept {
  return kind == Kind::kEl ? dim : 2 * dim;
}

template <typename T>
void self_attention(const SelfStep<T>& step, SelfCache<T>& cache, Workspace<T>& work,
                    ThreadPool& pool) {
  if (step.kind == Kind::kEl) {
    el(step, cache, work, pool);
  } else {
    multi_head(step, cache, work, pool);
  }
}

template <typename T>
void forced_self_attention(const ForcedSelfStep<T>& forced, Workspace<T>& work, ThreadPool& pool) {
  const SelfStep<T>& step = forced.step;
  const std::int64_t d = step.weights->dim();
  // encoder_attention may write y over x, which the cache of EL-attention wants.
  if (forced.cache != nullptr && step.kind == Kind::kEl) {
    for (std::size_t s = 0; s + 1 < forced.offsets.size(); ++s) {
      for (std::int64_t row = forced.offsets[s]; row < forced.offsets[s + 1]; ++row) {
        std::copy_n(
            step.x + row * d, d,
            forced.cache->at(row - forced.offsets[s], forced.first_row + ssize(s), step.layer));
      }
    }
  }
  encoder_attention<T>({step.weights, forced.offsets, step.x, step.residual, step.y, forced.causal},
                       work, pool);
  if (forced.cache == nullptr || step.kind == Kind::kEl) return;
  for (std::size_t s = 0; s + 1 < forced.offsets.size(); ++s) {
    for (std::int64_t row = forced.offsets[s]; row < forced.offsets[s + 1]; ++row) {
      std::copy_n(
          work.projected.data() + row * 3 * d + d, 2 * d,
          forced.cache->at(row - forced.offsets[s], forced.first_row + ssize(s), step.layer));
    }
  }
}

template void forced_self_attention<float>(const ForcedSelfStep<float>&, Workspace<float>&,
                                           ThreadPool&);
template void forced_self_attention<double>(const ForcedSelfStep<double>&, Workspace<double>&,
                                            ThreadPool&);
template void self_attention<float>(const SelfStep<float>&, SelfCache<float>&, Workspace<float>&,
                                    ThreadPool&);
template void self_attention<double>(const SelfStep<double>&, SelfCache<double>&,
                                     Workspace<double>&, ThreadPool&);

}  // namespace elbeam::attention
