#include "search/forced_steps.hpp"

#include "base/aligned_buffer.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"

#include <algorithm>
#include <memory>

namespace elbeam::search {
namespace {

void check_inputs(const StepModel& model, const ForcedRun& run) {
  const auto& sentences = run.batch->sentences;
  ELBEAM_CHECK(run.inputs.size() == sentences.size(), ErrorCode::kUsage,
               "expected one target for each of ", sentences.size(), " sentences, got ",
               run.inputs.size());
  for (std::size_t i = 0; i < sentences.size(); ++i) {
    ELBEAM_CHECK(ssize(sentences[i].size()) <= run.batch->padded_length, ErrorCode::kUsage,
                 "the padded length of the batch, ", run.batch->padded_length,
                 ", is below the length of a sentence, ", sentences[i].size());
    ELBEAM_CHECK(!run.inputs[i].empty(), ErrorCode::kUsage, "the target of sentence ", i,
                 " of the batch is empty");
    ELBEAM_CHECK(ssize(run.inputs[i].size()) <= model.max_decoder_positions(), ErrorCode::kUsage,
                 "the target of sentence ", i, " of the batch has ", run.inputs[i].size(),
                 " tokens, the model takes ", model.max_decoder_positions());
    for (const std::int64_t token : run.inputs[i]) {
      ELBEAM_CHECK(token >= 0 && token < model.vocab_size(), ErrorCode::kUsage,
                   "the target of sentence ", i, " of the batch: token ", token,
                   " is outside the vocabulary of ", model.vocab_size());
    }
  }
}

std::int64_t longest(const std::vector<std::vector<std::int64_t>>& rows) {
  std::int64_t length = 0;
  for (const auto& row : rows) length = std::max(length, ssize(row.size()));
  return length;
}

// The rows of a step: sentences whose inputs go on.
struct Rows {
  std::vector<std::int64_t> sentences;
  std::vector<std::int64_t> tokens;
  std::vector<std::int64_t> parents;
};

Rows first_rows(const ForcedRun& run) {
  Rows rows;
  for (std::size_t sentence = 0; sentence < run.inputs.size(); ++sentence) {
    rows.sentences.push_back(ssize(sentence));
    rows.tokens.push_back(run.inputs[sentence].front());
    rows.parents.push_back(ssize(sentence));
  }
  return rows;
}

Rows next_rows(const ForcedRun& run, const Rows& now, std::int64_t position) {
  Rows rows;
  for (std::size_t row = 0; row < now.sentences.size(); ++row) {
    const auto& input = run.inputs[usize(now.sentences[row])];
    if (position >= ssize(input.size())) continue;
    rows.sentences.push_back(now.sentences[row]);
    rows.tokens.push_back(input[usize(position)]);
    rows.parents.push_back(ssize(row));
  }
  return rows;
}

}  // namespace

ForcedCounters run_forced(StepModel& model, const ForcedRun& run,
                          const std::function<void(const ForcedStep&)>& visit) {
  ForcedCounters counters;
  if (run.batch->sentences.empty()) return counters;
  check_inputs(model, run);
  const std::int64_t vocab = model.vocab_size();
  const std::int64_t source_width = longest(run.batch->sentences);
  const std::int64_t values = checked_mul(ssize(run.inputs.size()), vocab);
  const std::int64_t bytes = checked_mul(values, std::int64_t{sizeof(float)});
  ELBEAM_CHECK(bytes <= limits::kMaxLogProbBytes, ErrorCode::kLimit, run.inputs.size(),
               " sentences and ", vocab, " symbols need ", bytes,
               " bytes for one step, the limit is ", limits::kMaxLogProbBytes);
  AlignedBuffer<float> log_probs(values);
  std::vector<float> attention(
      run.attention ? usize(checked_mul(ssize(run.inputs.size()), source_width)) : 0);
  const auto state =
      model.start(*run.batch, {1, longest(run.inputs), run.temperature, run.attention});
  Rows rows = first_rows(run);
  for (std::int64_t position = 0; !rows.sentences.empty(); ++position) {
    ELBEAM_CHECK(run.cancelled == nullptr || !run.cancelled(), ErrorCode::kInterrupted,
                 "scoring was cancelled after ", position, " steps");
    const std::int64_t count = ssize(rows.tokens.size());
    StepOutput output{{log_probs.data(), usize(count * vocab)}};
    if (run.attention) output.attention = std::span(attention).first(usize(count * source_width));
    state->step({rows.tokens, rows.parents}, output);
    counters.steps += 1;
    counters.rows += count;
    for (std::int64_t row = 0; row < count; ++row) {
      const std::int64_t sentence = rows.sentences[usize(row)];
      ForcedStep step{sentence, position, {log_probs.data() + row * vocab, usize(vocab)}};
      if (run.attention) {
        step.attention = output.attention.subspan(usize(row * source_width),
                                                  run.batch->sentences[usize(sentence)].size());
      }
      visit(step);
    }
    rows = next_rows(run, rows, position + 1);
  }
  return counters;
}

}  // namespace elbeam::search
