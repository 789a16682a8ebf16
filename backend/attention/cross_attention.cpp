#include "attention/cross_attention.hpp"

#include <algorithm>

namespace elbeam::attention {
namespace {

// A part of a step's work that one thread does: some heads of one sentence's rows.
struct Task {
  SentenceRows rows;
  std::int64_t first_head = 0;
  std::int64_t heads = 0;
  std::int64_t score_offset = 0;  // of its scores in the workspace
};

// Calls use(row's mean weights, length) for all live rows.
template <typename T, typename Use>
void for_each_mean(const CrossStep<T>& step, Use&& use) {
  for (const SentenceRows& rows : step.live) {
    for (std::int64_t r = rows.first_row; r < rows.first_row + rows.rows; ++r) {
      use(step.mean_weights + r * step.mean_width, step.encoder_out->length(rows.sentence));
    }
  }
}

// One task a sentence keeps the tile high (all heads' rows at once, for EL); fewer sentences than
// threads are split by heads into this many tasks each.
std::int64_t tasks_per_sentence(std::int64_t sentences, std::int64_t heads, std::int64_t threads) {
  if (threads == 1) return 1;
  return std::min(heads, std::max<std::int64_t>(1, (2 * threads + sentences - 1) / sentences));
}

// Adds the weights of `heads` heads, each [rows, length] with row stride ld, to what is going to be
// their mean.
template <typename T>
void add_heads(const CrossStep<T>& step, const SentenceRows& rows, std::int64_t heads,
               const T* weights, std::int64_t ld) {
  const std::int64_t length = step.encoder_out->length(rows.sentence);
  for (std::int64_t r = 0; r < rows.rows; ++r) {
    T* sum = step.mean_weights + (rows.first_row + r) * step.mean_width;
    for (std::int64_t h = 0; h < heads; ++h) {
      const T* line = weights + (h * rows.rows + r) * ld;
      for (std::int64_t t = 0; t < length; ++t) sum[t] += line[t];
    }
  }
}

// Beam-shared multi-head attention of one task: per head two products over the sentence's rows.
template <typename T>
void multi_head(const CrossStep<T>& step, const Task& task, Workspace<T>& work) {
  const Weights<T>& w = *step.weights;
  const auto& table = kernels::kernels<T>();
  const std::int64_t d = w.dim();
  const std::int64_t dk = w.head_dim();
  const std::int64_t length = step.encoder_out->length(task.rows.sentence);
  const std::int64_t padded = step.keys_values->padded_length(task.rows.sentence);
  T* scores = work.scores.data() + task.score_offset;
  for (std::int64_t head = task.first_head; head < task.first_head + task.heads; ++head) {
    const T* q = work.projected.data() + task.rows.first_row * d + head * dk;
    table.gemm_nn({.m = task.rows.rows,
                   .n = padded,
                   .k = dk,
                   .a = q,
                   .lda = d,
                   .b = step.keys_values->keys(task.rows.sentence) + head * dk * padded,
                   .ldb = padded,
                   .c = scores,
                   .ldc = padded});
    for (std::int64_t r = 0; r < task.rows.rows; ++r) table.softmax(scores + r * padded, length);
    if (step.mean_weights != nullptr) add_heads(step, task.rows, 1, scores, padded);
    table.gemm_nn({.m = task.rows.rows,
                   .n = dk,
                   .k = length,
                   .a = scores,
                   .lda = padded,
                   .b = step.keys_values->values(task.rows.sentence) + head * dk,
                   .ldb = d,
                   .c = work.context.data() + task.rows.first_row * d + head * dk,
                   .ldc = d});
  }
}

// EL-attention of one task. Its rows are (head, beam) pairs, head-major, so that each of the two
// products with the hidden states is one product of rows * heads rows.
template <typename T>
void el(const CrossStep<T>& step, const Task& task, Workspace<T>& work) {
  const Weights<T>& w = *step.weights;
  const auto& table = kernels::kernels<T>();
  const std::int64_t d = w.dim();
  const std::int64_t dk = w.head_dim();
  const std::int64_t key_dim = w.key_dim();
  const std::int64_t beams = task.rows.rows;
  const std::int64_t rows = beams * task.heads;
  const std::int64_t length = step.encoder_out->length(task.rows.sentence);
  const T* hidden = step.encoder_out->sentence(task.rows.sentence);
  T* scores = work.scores.data() + task.score_offset;
  T* expanded =
      work.expanded.data() + (task.rows.first_row * w.heads() + task.first_head * beams) * key_dim;
  for (std::int64_t i = 0; i < task.heads; ++i) {  // q~_i = q_i W_K_i
    const std::int64_t head = task.first_head + i;
    table.gemm_nn({.m = beams,
                   .n = key_dim,
                   .k = dk,
                   .a = work.projected.data() + task.rows.first_row * d + head * dk,
                   .lda = d,
                   .b = w.key_slice(head),
                   .ldb = key_dim,
                   .c = expanded + i * beams * key_dim,
                   .ldc = key_dim});
  }
  // p = softmax(q~ H^T), c = p H; c takes q~'s place.
  table.gemm_nt({.m = rows,
                 .n = length,
                 .k = key_dim,
                 .a = expanded,
                 .lda = key_dim,
                 .b = hidden,
                 .ldb = key_dim,
                 .c = scores,
                 .ldc = length});
  for (std::int64_t r = 0; r < rows; ++r) table.softmax(scores + r * length, length);
  if (step.mean_weights != nullptr) add_heads(step, task.rows, task.heads, scores, length);
  table.gemm_nn({.m = rows,
                 .n = key_dim,
                 .k = length,
                 .a = scores,
                 .lda = length,
                 .b = hidden,
                 .ldb = key_dim,
                 .c = expanded,
                 .ldc = key_dim});
  for (std::int64_t i = 0; i < task.heads; ++i) {  // o_i = c_i W_V_i
    const std::int64_t head = task.first_head + i;
    w.value_slice(head).multiply({expanded + i * beams * key_dim, key_dim}, beams,
                                 {work.context.data() + task.rows.first_row * d + head * dk, d},
                                 {});
  }
}

}  // namespace

template <typename T>
CrossKeysValues<T>::CrossKeysValues(const Weights<T>& weights, const EncoderOut<T>& encoder_out,
                                    ThreadPool& pool) {
  const std::int64_t d = weights.dim();
  const std::int64_t dk = weights.head_dim();
  const std::int64_t lanes = kernels::kernels<T>().lanes;
  std::int64_t key_count = 0;
  std::int64_t longest = 0;
  for (std::int64_t s = 0; s < encoder_out.sentences(); ++s) {
    const std::int64_t length = encoder_out.length(s);
    padded_.push_back((length + lanes - 1) / lanes * lanes);
    key_offsets_.push_back(key_count);
    value_offsets_.push_back(encoder_out.offsets[usize(s)] * d);
    key_count = checked_add(key_count, checked_mul(padded_.back(), d));
    longest = std::max(longest, length);
  }
  keys_.reserve(key_count);
  values_.reserve(checked_mul(encoder_out.offsets.back(), d));
  const std::int64_t total = encoder_out.offsets.back();
  weights.value().multiply({encoder_out.hidden.data(), encoder_out.dim}, total, {values_.data(), d},
                           {.bias = weights.value_bias()}, pool);
  AlignedBuffer<T> rows(checked_mul(longest, d));
  for (std::int64_t s = 0; s < encoder_out.sentences(); ++s) {
    const std::int64_t length = encoder_out.length(s);
    const std::int64_t padded = padded_[usize(s)];
    weights.key().multiply({encoder_out.sentence(s), encoder_out.dim}, length, {rows.data(), d},
                           {.bias = weights.key_bias()}, pool);
    T* keys = keys_.data() + key_offsets_[usize(s)];
    pool.parallel_for(weights.heads(), [&](std::int64_t head) {
      for (std::int64_t j = 0; j < dk; ++j) {
        T* line = keys + (head * dk + j) * padded;
        for (std::int64_t t = 0; t < length; ++t) line[t] = rows.data()[t * d + head * dk + j];
        std::fill(line + length, line + padded, T{0});
      }
    });
  }
}

template <typename T>
void cross_attention(const CrossStep<T>& step, Workspace<T>& work, ThreadPool& pool) {
  const Weights<T>& w = *step.weights;
  const std::int64_t d = w.dim();
  const bool is_el = step.keys_values == nullptr;
  work.projected.reserve(step.rows * d);
  work.context.reserve(step.rows * d);
  if (is_el) work.expanded.reserve(step.rows * w.heads() * w.key_dim());
  const bool mean = step.mean_weights != nullptr;
  if (mean) for_each_mean(step, [](T* sum, std::int64_t n) { std::fill_n(sum, n, T{0}); });
  // Heads that add to one mean stay on one thread.
  const std::int64_t parts =
      tasks_per_sentence(ssize(step.live.size()), w.heads(), mean ? 1 : pool.threads());
  std::int64_t scores = 0;  // of one task, at most
  for (const SentenceRows& rows : step.live) {
    const std::int64_t heads = (w.heads() + parts - 1) / parts;
    scores = std::max(scores, is_el ? rows.rows * heads * step.encoder_out->length(rows.sentence)
                                    : rows.rows * step.keys_values->padded_length(rows.sentence));
  }
  const std::int64_t tasks = ssize(step.live.size()) * parts;
  work.scores.reserve(checked_mul(tasks, scores));
  w.query().multiply({step.x, d}, step.rows, {work.projected.data(), d}, {.bias = w.query_bias()},
                     pool);
  pool.parallel_for(tasks, [&](std::int64_t i) {
    const std::int64_t first = w.heads() * (i % parts) / parts;
    const std::int64_t last = w.heads() * (i % parts + 1) / parts;
    const Task task{step.live[usize(i / parts)], first, last - first, i * scores};
    if (is_el) {
      el(step, task, work);
    } else {
      multi_head(step, task, work);
    }
  });
  if (mean) {
    const auto heads = static_cast<T>(w.heads());
    for_each_mean(step, [&](T* sum, std::int64_t n) {
      for (std::int64_t t = 0; t < n; ++t) sum[t] /= heads;
    });
  }
  w.output().multiply(
      {work.context.data(), d}, step.rows, {step.y, d},
      {.bias = is_el ? w.folded_output_bias() : w.output_bias(), .residual = step.residual}, pool);
}

template class CrossKeysValues<float>;
template class CrossKeysValues<double>;
template void cross_attention<float>(const CrossStep<float>&, Workspace<float>&, ThreadPool&);
template void cross_attention<double>(const CrossStep<double>&, Workspace<double>&, ThreadPool&);

}  // namespace elbeam::attention
