// The way of elbeam::force() for models that only know steps.
#include <elbeam/step_model.hpp>

#include "base/aligned_buffer.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>

namespace elbeam {
namespace {

void check_forced(const ForcedInput& input, const ForcedOutput& output, std::int64_t vocab_size) {
  const std::size_t sentences = input.tokens.size();
  const auto fits = [&](const auto& lists) { return lists.empty() || lists.size() == sentences; };
  ELBEAM_CHECK(
      sentences > 0 && fits(input.targets) && fits(output.target_log_probs) &&
          fits(output.attention) && output.target_log_probs.empty() == input.targets.empty(),
      ErrorCode::kUsage, "known tokens: expected one list for each of ", sentences, " sentences");
  ELBEAM_CHECK(output.last_log_probs.empty() ||
                   ssize(output.last_log_probs.size()) >= checked_mul(ssize(sentences), vocab_size),
               ErrorCode::kUsage, "known tokens: no room for ", sentences, " rows of ", vocab_size,
               " log-probabilities");
  for (std::size_t s = 0; s < sentences; ++s) {
    const std::size_t length = input.tokens[s].size();
    ELBEAM_CHECK(
        length > 0 && (input.targets.empty() || (input.targets[s].size() == length &&
                                                 output.target_log_probs[s].size() >= length)),
        ErrorCode::kUsage, "known tokens of sentence ", s, ": expected as many targets as ", length,
        " tokens, and at least one");
    if (input.targets.empty()) continue;
    for (const std::int64_t target : input.targets[s]) {
      ELBEAM_CHECK(target >= 0 && target < vocab_size, ErrorCode::kUsage,
                   "known tokens of sentence ", s, ": target ", target,
                   " is outside the vocabulary of ", vocab_size);
    }
  }
}

// The rows of one step: sentences that still have a token.
struct StepRows {
  std::vector<std::size_t> sentences;
  std::vector<std::int64_t> tokens;
  std::vector<std::int64_t> parents;  // the sentences' rows in the step before
};

StepRows rows_at(const ForcedInput& input, std::size_t step, const StepRows& before) {
  StepRows now;
  for (std::size_t row = 0; row < before.sentences.size(); ++row) {
    const std::size_t s = before.sentences[row];
    if (step >= input.tokens[s].size()) continue;
    now.sentences.push_back(s);
    now.tokens.push_back(input.tokens[s][step]);
    now.parents.push_back(ssize(row));
  }
  return now;
}

}  // namespace

void force(DecodeState& state, std::int64_t vocab_size, const ForcedInput& input,
           const ForcedOutput& output) {
  check_forced(input, output, vocab_size);
  if (state.force(input, output)) return;
  const auto vocab = usize(vocab_size);
  StepRows rows;
  for (std::size_t s = 0; s < input.tokens.size(); ++s) rows.sentences.push_back(s);
  AlignedBuffer<float> log_probs(checked_mul(ssize(input.tokens.size()), vocab_size));
  std::vector<float> attention;
  for (std::size_t step = 0;; ++step) {
    rows = rows_at(input, step, rows);
    if (rows.sentences.empty()) return;
    StepOutput out{{log_probs.data(), rows.sentences.size() * vocab}};
    std::size_t width = 0;
    if (!output.attention.empty()) {
      width = output.attention.front().size() / input.tokens.front().size();
      attention.resize(rows.sentences.size() * width);
      out.attention = attention;
    }
    state.step({rows.tokens, rows.parents}, out);
    for (std::size_t row = 0; row < rows.sentences.size(); ++row) {
      const std::size_t s = rows.sentences[row];
      const std::span<const float> line(log_probs.data() + row * vocab, vocab);
      if (!input.targets.empty())
        output.target_log_probs[s][step] = line[usize(input.targets[s][step])];
      if (!output.last_log_probs.empty() && step + 1 == input.tokens[s].size())
        std::copy(line.begin(), line.end(), output.last_log_probs.subspan(s * vocab).begin());
      if (width > 0)
        std::copy_n(attention.begin() + ssize(row * width), width,
                    output.attention[s].subspan(step * width).begin());
    }
  }
}

}  // namespace elbeam
