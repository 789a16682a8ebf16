// What fairseq-eval-lm says about a language model's scores (fairseq_cli/eval_lm.py: eval_lm and
// WordStat): loss, perplexity, and the scores of words.
#pragma once

#include "text/dictionary.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace elbeam::fairseq {

struct LmStatisticsOptions {
  // What a token that goes on in the next one ends with, "@@": the next one's score takes its in.
  std::optional<std::string> bpe_mark;
  bool word_probs = false;  // --output-word-probs
  bool word_stats = false;  // --output-word-stats
};

// One sample: `scores` are base-e log-probabilities of `tokens`, one each.
struct ScoredTokens {
  std::int64_t id = 0;
  std::vector<std::int64_t> tokens;
  std::vector<float> scores;
};

// Not thread-safe. The dictionary must outlive it. Memory: the different words of word_stats.
class LmStatistics {
 public:
  LmStatistics(const text::Dictionary& dictionary, LmStatisticsOptions options);

  // Counts a sample. Returns the line of --output-word-probs without a newline, "" without that
  // option. A token whose score is infinite is left out, with a log line.
  std::string add(ScoredTokens sample);

  // Mean over the tokens that were counted, in float32 as fairseq sums: -log2 p, and 2 to the power
  // of that. 0 and 1 where there were none.
  float loss() const noexcept;
  float perplexity() const noexcept;

  // Lines of --output-word-stats, frequent words first: word, count, sum of its log-probabilities,
  // whether it is of several tokens, sum of the next word's, how often there was a next word.
  std::vector<std::string> word_lines() const;

 private:
  struct Word {
    std::string text;
    bool is_bpe = false;
    double log_prob = 0.0;
    float next_log_prob = 0.0F;
    std::int64_t count = 0;
    std::int64_t with_next = 0;
  };

  bool goes_on(std::int64_t token) const;
  void drop_infinite(ScoredTokens& sample) const;
  std::string add_words(const ScoredTokens& sample);
  void count_word(const std::string& text, bool is_bpe, const ScoredTokens& sample, std::size_t at);

  const text::Dictionary& dictionary_;
  LmStatisticsOptions options_;
  float score_sum_ = 0.0F;
  std::int64_t count_ = 0;
  std::vector<Word> words_;  // in the order of their first occurrence
  std::unordered_map<std::string, std::size_t> word_index_;
};

}  // namespace elbeam::fairseq
