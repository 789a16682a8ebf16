#include "attention/encoder_attention.hpp"

#include <algorithm>

namespace elbeam::attention {
namespace {

// Query rows whose scores are held at once: bounds scratch space to rows x length, not length^2.
constexpr std::int64_t kRowBlock = 48;

struct Task {
  std::int64_t first = 0;   // first token of the sentence
  std::int64_t length = 0;  // tokens
  std::int64_t padded = 0;  // length rounded up to whole vectors
  std::int64_t head = 0;
  std::int64_t scratch = 0;  // offset of its transposed keys and scores
};

std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

template <typename T>
void attend_head(const EncoderStep<T>& step, const Task& task, Workspace<T>& work) {
  const auto& table = kernels::kernels<T>();
  const std::int64_t d = step.weights->dim();
  const std::int64_t dk = step.weights->head_dim();
  const T* qkv = work.projected.data() + task.first * 3 * d + task.head * dk;
  T* keys = work.scores.data() + task.scratch;
  T* scores = keys + dk * task.padded;
  for (std::int64_t j = 0; j < dk; ++j) {
    T* line = keys + j * task.padded;
    for (std::int64_t t = 0; t < task.length; ++t) line[t] = qkv[t * 3 * d + d + j];
    std::fill(line + task.length, line + task.padded, T{0});
  }
  for (std::int64_t row = 0; row < task.length; row += kRowBlock) {
    const std::int64_t rows = std::min(kRowBlock, task.length - row);
    // Keys behind the block's last row are seen by none of it.
    const std::int64_t seen = step.causal ? row + rows : task.length;
    table.gemm_nn({.m = rows,
                   .n = round_up(seen, table.lanes),
                   .k = dk,
                   .a = qkv + row * 3 * d,
                   .lda = 3 * d,
                   .b = keys,
                   .ldb = task.padded,
                   .c = scores,
                   .ldc = task.padded});
    for (std::int64_t r = 0; r < rows; ++r) {
      T* line = scores + r * task.padded;
      const std::int64_t own = step.causal ? row + r + 1 : seen;
      table.softmax(line, own);
      std::fill(line + own, line + seen, T{0});
    }
    table.gemm_nn({.m = rows,
                   .n = dk,
                   .k = seen,
                   .a = scores,
                   .lda = task.padded,
                   .b = qkv + 2 * d,
                   .ldb = 3 * d,
                   .c = work.context.data() + (task.first + row) * d + task.head * dk,
                   .ldc = d});
  }
}

}  // namespace

template <typename T>
void encoder_attention(const EncoderStep<T>& step, Workspace<T>& work, ThreadPool& pool) {
  const Weights<T>& w = *step.weights;
  const std::int64_t d = w.dim();
  const std::int64_t tokens = step.offsets.back();
  const std::int64_t lanes = kernels::kernels<T>().lanes;
  std::vector<Task> tasks;
  tasks.reserve(step.offsets.size() * usize(w.heads()));
  std::int64_t scratch = 0;
  for (std::size_t s = 0; s + 1 < step.offsets.size(); ++s) {
    Task task;
    task.first = step.offsets[s];
    task.length = step.offsets[s + 1] - task.first;
    task.padded = round_up(task.length, lanes);
    for (task.head = 0; task.head < w.heads(); ++task.head) {
      task.scratch = scratch;
      tasks.push_back(task);
      scratch += (w.head_dim() + std::min(kRowBlock, task.length)) * task.padded;
    }
  }
  work.projected.reserve(checked_mul(tokens, 3 * d));
  work.context.reserve(checked_mul(tokens, d));
  work.scores.reserve(scratch);
  w.fused_qkv().multiply({step.x, d}, tokens, {work.projected.data(), 3 * d},
                         {.bias = w.fused_qkv_bias()}, pool);
  pool.parallel_for(ssize(tasks.size()),
                    [&](std::int64_t i) { attend_head(step, tasks[usize(i)], work); });
  w.output().multiply({work.context.data(), d}, tokens, {step.y, d},
                      {.bias = w.output_bias(), .residual = step.residual}, pool);
}

template void encoder_attention<float>(const EncoderStep<float>&, Workspace<float>&, ThreadPool&);
template void encoder_attention<double>(const EncoderStep<double>&, Workspace<double>&,
                                        ThreadPool&);

}  // namespace elbeam::attention
