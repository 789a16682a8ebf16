#include "search/forced_run.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"

#include <algorithm>
#include <memory>

namespace elbeam::search {
namespace {

void check_tokens(const std::vector<std::int64_t>& tokens, std::size_t sentence,
                  std::int64_t vocab) {
  for (const std::int64_t token : tokens) {
    ELBEAM_CHECK(token >= 0 && token < vocab, ErrorCode::kUsage, "the target of sentence ",
                 sentence, " of the batch: token ", token, " is outside the vocabulary of ", vocab);
  }
}

void check_inputs(const StepModel& model, const ForcedRun& run) {
  const auto& sentences = run.batch->sentences;
  for (const auto* lists : {&run.inputs, &run.targets}) {
    ELBEAM_CHECK(lists->size() == sentences.size() || (lists == &run.targets && lists->empty()),
                 ErrorCode::kUsage, "expected one target for each of ", sentences.size(),
                 " sentences, got ", lists->size());
  }
  for (std::size_t i = 0; i < sentences.size(); ++i) {
    ELBEAM_CHECK(ssize(sentences[i].size()) <= run.batch->padded_length, ErrorCode::kUsage,
                 "the padded length of the batch, ", run.batch->padded_length,
                 ", is below the length of a sentence, ", sentences[i].size());
    ELBEAM_CHECK(!run.inputs[i].empty(), ErrorCode::kUsage, "the target of sentence ", i,
                 " of the batch is empty");
    ELBEAM_CHECK(ssize(run.inputs[i].size()) <= model.max_decoder_positions(), ErrorCode::kUsage,
                 "the target of sentence ", i, " of the batch has ", run.inputs[i].size(),
                 " tokens, the model takes ", model.max_decoder_positions());
    check_tokens(run.inputs[i], i, model.vocab_size());
    if (run.targets.empty()) continue;
    ELBEAM_CHECK(run.targets[i].size() == run.inputs[i].size(), ErrorCode::kUsage, "sentence ", i,
                 " of the batch has ", run.inputs[i].size(), " input tokens for ",
                 run.targets[i].size(), " target tokens");
    check_tokens(run.targets[i], i, model.vocab_size());
  }
}

std::int64_t longest(const std::vector<std::vector<std::int64_t>>& rows) {
  std::int64_t length = 0;
  for (const auto& row : rows) length = std::max(length, ssize(row.size()));
  return length;
}

// Room for a list of `width` numbers for each token of each input.
std::vector<std::vector<float>> room(const ForcedRun& run, std::int64_t width) {
  std::vector<std::vector<float>> lists;
  for (const auto& input : run.inputs) {
    lists.emplace_back(usize(checked_mul(ssize(input.size()), width)));
  }
  return lists;
}

}  // namespace

ForcedResult run_forced(StepModel& model, const ForcedRun& run) {
  ForcedResult result;
  if (run.batch->sentences.empty()) return result;
  check_inputs(model, run);
  ELBEAM_CHECK(run.cancelled == nullptr || !run.cancelled(), ErrorCode::kInterrupted,
               "scoring was cancelled");
  const std::int64_t values = checked_mul(ssize(run.inputs.size()), model.vocab_size());
  const std::int64_t bytes = checked_mul(values, std::int64_t{sizeof(float)});
  ELBEAM_CHECK(bytes <= limits::kMaxLogProbBytes, ErrorCode::kLimit, run.inputs.size(),
               " sentences and ", model.vocab_size(), " symbols need ", bytes,
               " bytes for one step, the limit is ", limits::kMaxLogProbBytes);
  result.source_width = longest(run.batch->sentences);
  result.steps = longest(run.inputs);
  for (const auto& input : run.inputs) result.rows += ssize(input.size());

  ForcedInput input{{run.inputs.begin(), run.inputs.end()},
                    {run.targets.begin(), run.targets.end()}};
  ForcedOutput output;
  if (!run.targets.empty()) {
    result.target_log_probs = room(run, 1);
    output.target_log_probs.assign(result.target_log_probs.begin(), result.target_log_probs.end());
  }
  if (run.attention) {
    result.attention = room(run, result.source_width);
    output.attention.assign(result.attention.begin(), result.attention.end());
  }
  if (run.last) {
    result.last_log_probs.resize(usize(values));
    output.last_log_probs = result.last_log_probs;
  }
  DecodeShape shape{1, result.steps, run.temperature, run.attention};
  for (const auto& target : run.targets)
    shape.needed_tokens.insert(shape.needed_tokens.end(), target.begin(), target.end());
  const auto state = model.start(*run.batch, shape);
  force(*state, model.vocab_size(), input, output);
  return result;
}

}  // namespace elbeam::search
