#include "fairseq_bridge/lm_statistics.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/fairseq_log.hpp"
#include "text/python_format.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace elbeam::fairseq {

LmStatistics::LmStatistics(const text::Dictionary& dictionary, LmStatisticsOptions options)
    : dictionary_(dictionary), options_(std::move(options)) {}

bool LmStatistics::goes_on(std::int64_t token) const {
  return options_.bpe_mark && dictionary_.symbol(token).ends_with(*options_.bpe_mark);
}

void LmStatistics::drop_infinite(ScoredTokens& sample) const {
  std::string dropped;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
    if (std::isinf(sample.scores[i])) {
      dropped += " " + dictionary_.symbol(sample.tokens[i]);
      continue;
    }
    sample.tokens[kept] = sample.tokens[i];
    sample.scores[kept] = sample.scores[i];
    ++kept;
  }
  if (dropped.empty()) return;
  sample.tokens.resize(kept);
  sample.scores.resize(kept);
  fairseq_log(LogLevel::kInfo, "fairseq_cli.eval_lm",
              concat("skipping tokens with inf scores:", dropped));
}

std::string LmStatistics::add(ScoredTokens sample) {
  ELBEAM_INVARIANT(sample.tokens.size() == sample.scores.size());
  std::int64_t joined = 0;
  for (std::size_t i = 0; i + 1 < sample.tokens.size(); ++i) {
    if (!goes_on(sample.tokens[i])) continue;
    ++joined;
    sample.scores[i + 1] += sample.scores[i];
    sample.scores[i] = 0.0F;
  }
  drop_infinite(sample);
  // Within a sample torch adds pairwise, which a sum in fp64 rounded once comes closest to.
  score_sum_ +=
      static_cast<float>(std::accumulate(sample.scores.begin(), sample.scores.end(), 0.0));
  count_ += ssize(sample.tokens.size()) - joined;
  return options_.word_probs || options_.word_stats ? add_words(sample) : std::string();
}

std::string LmStatistics::add_words(const ScoredTokens& sample) {
  std::string line;
  std::string word;
  bool is_bpe = false;
  for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
    word += dictionary_.symbol(sample.tokens[i]);
    if (goes_on(sample.tokens[i])) {
      word.resize(word.size() - options_.bpe_mark->size());
      is_bpe = true;
      continue;
    }
    if (options_.word_probs) {
      line += concat(line.empty() ? concat(sample.id, " ") : "\t", word, " [",
                     text::python_fixed(static_cast<double>(sample.scores[i]), 6), "]");
    }
    if (options_.word_stats) count_word(word, is_bpe, sample, i);
    is_bpe = false;
    word.clear();
  }
  return line.empty() && options_.word_probs ? concat(sample.id, " ") : line;
}

void LmStatistics::count_word(const std::string& text, bool is_bpe, const ScoredTokens& sample,
                              std::size_t at) {
  const auto [found, is_new] = word_index_.emplace(text, words_.size());
  if (is_new) words_.push_back({text, is_bpe});
  Word& word = words_[found->second];
  const auto next = std::find_if(sample.scores.begin() + ssize(at) + 1, sample.scores.end(),
                                 [](float score) { return score != 0.0F; });
  if (next != sample.scores.end()) {
    word.next_log_prob += *next;
    ++word.with_next;
  }
  word.log_prob += static_cast<double>(sample.scores[at]);
  ++word.count;
}

float LmStatistics::loss() const noexcept {
  return count_ > 0 ? -score_sum_ / static_cast<float>(count_) / 0.693147180559945309417F : 0.0F;
}

float LmStatistics::perplexity() const noexcept { return std::exp2(loss()); }

std::vector<std::string> LmStatistics::word_lines() const {
  std::vector<const Word*> order;
  for (const Word& word : words_) order.push_back(&word);
  std::stable_sort(order.begin(), order.end(),
                   [](const Word* a, const Word* b) { return a->count > b->count; });
  std::vector<std::string> lines;
  for (const Word* word : order) {
    lines.push_back(concat(
        word->text, "\t", word->count, "\t", text::python_repr(word->log_prob), "\t",
        word->is_bpe ? "True" : "False", "\t",
        word->with_next == 0 ? "0" : text::python_repr(static_cast<double>(word->next_log_prob)),
        "\t", word->with_next));
  }
  return lines;
}

}  // namespace elbeam::fairseq
