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
    const T* keys = step.keys_values->keys(task.rows.sentence) + head * dk * padded;
    for (std::int64_t t = 0; t < padded; t += table.panel_width) {
      const std::int64_t width = std::min(table.panel_width, padded - t);
      table.gemm_nn({.m = task.rows.rows,
                     .n = width,
                     .k = dk,
                     .a = q,
                     .lda = d,
                     .b = keys + t * dk,
                     .ldb = width,
                     .c = scores + t,
                     .ldc = padded});
    }
    for (std::int64_t r = 0; r < task.rows.rows; ++r) table.softmax(scores + r * padded, length);
    if (step.mean_weights != nullptr) add_heads(step, task.rows, 1, scores, padded);
    table.gemm_nn({.m = task.rows.rows,
                   .n = dk,
                   .k = length,
                   .a = scores,
                   .lda = padded,
                   .b = step.keys_values->values(task.rows.sentence) + head * length * dk,
                   .ldb = dk,
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

struct KeyShape {
  std::int64_t length = 0;
  std::int64_t padded = 0;  // length rounded up to whole vectors
  std::int64_t ld = 0;      // of the rows they are copied from
  std::int64_t head_dim = 0;
};

// One head's keys, rows of `rows`, into panels [d_k][positions], zeros behind the last position.
template <typename T>
void transpose_keys(const T* rows, const KeyShape& shape, T* keys) {
  const std::int64_t panel = kernels::kernels<T>().panel_width;
  for (std::int64_t first = 0; first < shape.padded; first += panel) {
    const std::int64_t width = std::min(panel, shape.padded - first);
    const std::int64_t count = std::clamp<std::int64_t>(shape.length - first, 0, width);
    for (std::int64_t j = 0; j < shape.head_dim; ++j) {
      T* line = keys + first * shape.head_dim + j * width;
      for (std::int64_t t = 0; t < count; ++t) line[t] = rows[(first + t) * shape.ld + j];
      std::fill(line + count, line + width, T{0});
    }
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
  for (std::int64_t s = 0; s < encoder_out.sentences(); ++s) {
    padded_.push_back((encoder_out.length(s) + lanes - 1) / lanes * lanes);
    key_offsets_.push_back(key_count);
    value_offsets_.push_back(encoder_out.offsets[usize(s)] * d);
    key_count = checked_add(key_count, checked_mul(padded_.back(), d));
  }
  keys_.reserve(key_count);
  values_.reserve(checked_mul(encoder_out.offsets.back(), d));
  AlignedBuffer<T> projected;
  for (std::int64_t first = 0; first < encoder_out.sentences();) {
    const std::int64_t begin = encoder_out.offsets[usize(first)];
    std::int64_t last = first + 1;
    while (last < encoder_out.sentences() &&
           encoder_out.offsets[usize(last + 1)] - begin <= kProjectedTokens)
      ++last;
    const std::int64_t tokens = encoder_out.offsets[usize(last)] - begin;
    projected.reserve(checked_mul(tokens, d));
    const auto project = [&](const kernels::PackedMatrix<T>& weight, const T* bias) {
      weight.multiply({encoder_out.sentence(first), encoder_out.dim}, tokens, {projected.data(), d},
                      {.bias = bias}, pool);
    };
    // Tasks are pairs of a sentence and a head: use(sentence, head, its first projected number).
    const auto for_each_head = [&](auto&& use) {
      pool.parallel_for((last - first) * weights.heads(), [&](std::int64_t task) {
        const std::int64_t s = first + task / weights.heads();
        const std::int64_t head = task % weights.heads();
        use(s, head, projected.data() + (encoder_out.offsets[usize(s)] - begin) * d + head * dk);
      });
    };
    project(weights.key(), weights.key_bias());
    for_each_head([&](std::int64_t s, std::int64_t head, const T* rows) {
      const std::int64_t padded = padded_[usize(s)];
      transpose_keys(rows, {encoder_out.length(s), padded, d, dk},
                     keys_.data() + key_offsets_[usize(s)] + head * dk * padded);
    });
    project(weights.value(), weights.value_bias());
    for_each_head([&](std::int64_t s, std::int64_t head, const T* rows) {
      const std::int64_t length = encoder_out.length(s);
      T* values = values_.data() + value_offsets_[usize(s)] + head * length * dk;
      for (std::int64_t t = 0; t < length; ++t) std::copy_n(rows + t * d, dk, values + t * dk);
    });
    first = last;
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
