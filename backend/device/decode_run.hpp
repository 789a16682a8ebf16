// A decode on a device: caches, activations, and the launches of a step.
#pragma once

#include "attention/weights.hpp"
#include "device/prompt.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace elbeam::device {

struct RunShape {
  std::int64_t sentences = 0;  // at once: places
  std::int64_t beam = 1;
  std::int64_t max_steps = 1;
  attention::Kind self_kind = attention::Kind::kMha;
  attention::Kind cross_kind = attention::Kind::kMha;
  std::int64_t prompt_tokens = 0;   // that are read before the first step, of all sentences
  std::int64_t longest_prompt = 0;  // of one sentence
};

// Bytes of the device's memory that a run takes beyond the weights; there is room for so many
// source tokens.
template <typename T>
std::int64_t run_bytes(const StackWeights<T>& stack, const RunShape& shape,
                       std::int64_t source_tokens);

// Everything that a step reads and writes has its place for the whole run, and how far the run has
// come lies in the device's memory: the launches of a step are the same each time.
template <typename T>
class DecodeRun {
 public:
  // The sources have a place for each sentence of the shape.
  DecodeRun(const Layers<T>& layers, const Linear<T>& output, const RunShape& shape,
            Sources<T> sources);

  // What decides a step, for the caller to fill: on the host or by kernels. At first all sentences
  // begin with the run, and each row has the slot of its number.
  struct Rows {
    Buffer<kernels::StepState> state;
    Buffer<std::int32_t> tokens;           // [max rows]
    Buffer<std::int32_t> parents;          // [max rows]
    Buffer<kernels::RowRange> rows_of;     // [sentences], and one without rows
    Buffer<std::int32_t> position_of_row;  // [max rows] what the step is added to
    Buffer<std::int32_t> first_of_row;     // [max rows] step that the sentence began in
    Buffer<std::int32_t> slot_of_row;      // [max rows]
    Buffer<std::int32_t> parts_of_row;     // [max rows]
    Buffer<std::int32_t> ancestors[2];     // [max rows, ancestor_stride]
    // Parts of the self-attention; empty where nothing was read before the first step.
    Buffer<std::int32_t> self_parts_of;      // [sentences]
    Buffer<std::int32_t> self_parts_of_row;  // [max rows]
    std::int64_t ancestor_stride = 0;
  };
  const Rows& rows() const noexcept { return rows_; }
  const RunShape& shape() const noexcept { return shape_; }
  std::int64_t max_rows() const noexcept { return max_rows_; }
  std::int64_t vocab() const noexcept { return output_.outputs; }
  const Sources<T>& sources() const noexcept { return sources_; }
  Sources<T>& sources() noexcept { return sources_; }

  // Reads tokens before the first step, in one pass over their positions: a list, or none, for each
  // sentence. Every hypothesis of the sentence attends to them, at their one place. Returns what
  // PromptPass::run() does.
  std::vector<float> read(const Prompts& prompts, float temperature);
  // [sentences] tokens that were read, and parts of the self-attention; empty: none were.
  const std::vector<std::int32_t>& prompt_lengths() const noexcept { return prompt_lengths_; }
  const std::vector<std::int32_t>& self_parts() const noexcept { return self_parts_; }

  // Makes room for a step that is number `step` of a sentence, none further; not captured.
  void open_step(std::int64_t step);
  // Launches a step over at most `rows` rows, in groups of group_rows (as the state says): logits
  // [rows, vocab] are in logits().
  void launch_step(std::int64_t rows, std::int64_t group_rows) const;
  T* logits() const noexcept { return logits_.data(); }

  std::int64_t self_bytes() const noexcept;

 private:
  std::int64_t slot_width() const;
  void self_block(std::size_t layer, std::int64_t rows, std::int64_t group_rows) const;
  void cross_block(std::size_t layer, std::int64_t rows, std::int64_t group_rows) const;
  // The attention of a slice of the rows; args are those of all of them.
  void attend_source(kernels::ContiguousArgs<T> args, const RowSlice& slice) const;
  void attend_history(kernels::PagedArgs<T> args, std::size_t layer, const RowSlice& slice,
                      std::int64_t group_rows) const;
  kernels::AttentionPlan plan_history(const kernels::PagedArgs<T>& args,
                                      std::int64_t group_rows) const;
  void plan_prompts();
  // Adds the sentence's attention to its prompt, where there is one, to `own`, which is set up for
  // the hypotheses' own steps.
  void attend_prompts(kernels::PagedArgs<T>& own, std::size_t layer, const RowSlice& slice) const;
  void merge(const kernels::MergeArgs<T>& args, std::int64_t rows) const;
  void store(const T* x, std::int64_t stride, std::int64_t first, std::int64_t width,
             std::size_t layer, std::int64_t rows) const;
  kernels::PagedCache<T> cache(std::size_t layer) const;

  Layers<T> layers_;
  const Linear<T>& output_;
  RunShape shape_;
  std::int64_t max_rows_;
  Sources<T> sources_;
  Activations<T> activations_;
  Rows rows_;
  Buffer<T> expanded_;  // EL: [rows, heads, key width], of a slice of the rows at a time
  Buffer<T> pooled_;
  Buffer<T> logits_;
  std::vector<Buffer<T>> pages_;
  Buffer<kernels::CachePage<T>> page_table_;
  Buffer<float> partial_;
  Buffer<float> partial_stats_;
  PromptCache<T> prompts_;
  Buffer<kernels::KeyRange> prompt_ranges_;
  std::vector<std::int32_t> prompt_lengths_;
  std::vector<std::int32_t> self_parts_;
  Buffer<float> self_partial_;
  Buffer<float> self_partial_stats_;
};

}  // namespace elbeam::device
