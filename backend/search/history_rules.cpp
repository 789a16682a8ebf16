#include "search/history_rules.hpp"

#include "base/checked_math.hpp"

#include <algorithm>
#include <limits>

namespace elbeam::search {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

void suppress(const std::vector<std::int64_t>& sequence, std::span<const std::int64_t> output,
              std::span<float> log_probs) noexcept {
  const std::size_t before = sequence.size() - 1;
  if (output.size() < before) return;
  if (std::equal(output.end() - ssize(before), output.end(), sequence.begin())) {
    log_probs[usize(sequence.back())] = kImpossible;
  }
}

}  // namespace

void block_repeated_ngrams(std::span<const std::int64_t> history, std::int64_t n,
                           std::span<float> log_probs) noexcept {
  if (n == 1) history = history.subspan(1);
  const std::int64_t length = ssize(history.size());
  const std::int64_t begin = length - (n - 1);  // of the n - 1 tokens that the next one follows
  for (std::int64_t i = 0; i < begin; ++i) {
    if (std::equal(history.begin() + begin, history.end(), history.begin() + i)) {
      log_probs[usize(history[usize(i + n - 1)])] = kImpossible;
    }
  }
}

void HistoryRules::penalise_repetition(std::span<const std::int64_t> output, const LprobRow& row) {
  seen_.assign(output.begin(), output.end());
  std::sort(seen_.begin(), seen_.end());
  const auto end = std::unique(seen_.begin(), seen_.end());
  const auto penalty = static_cast<float>(options_.repetition_penalty);
  std::for_each(seen_.begin(), end,
                [&](std::int64_t token) { row.set(token, row.log_probs[usize(token)] * penalty); });
}

void HistoryRules::apply(std::span<const std::int64_t> history, bool only_eos,
                         const LprobRow& row) {
  const std::span<const std::int64_t> output = history.subspan(1);
  if (!only_eos) {
    if (options_.repetition_penalty != 1.0) penalise_repetition(output, row);
    for (const auto& sequence : options_.suppressed_sequences) {
      suppress(sequence, output, row.log_probs);
    }
  }
  if (options_.no_repeat_ngram_size > 0) {
    block_repeated_ngrams(history, options_.no_repeat_ngram_size, row.log_probs);
  }
}

}  // namespace elbeam::search
