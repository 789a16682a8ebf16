// fairseq/search.py: PrefixConstrainedBeamSearch.
#pragma once

#include <elbeam/prefix_trie.hpp>

#include "search/strategy.hpp"
#include "search/topk.hpp"

#include <vector>

namespace elbeam::search {

// Beam search that may say only what a callback allows behind each hypothesis. There are as many
// candidates as hypotheses, not twice as many, and a sentence may end without any result.
class PrefixConstrained final : public SearchStrategy {
 public:
  // Throws Error(kUsage) where there is no callback.
  explicit PrefixConstrained(const DecodeRequest& request);

  // Throws Error(kUsage) where the callback allows a token outside the vocabulary.
  void propose(const SentenceStep& step, std::vector<Candidate>& candidates) override;
  bool stop_on_max_len() const override { return true; }

 private:
  void forbid_others(const SentenceStep& step, std::size_t row);

  const AllowedTokens& allowed_;
  const std::int64_t start_token_;

  // Work space.
  std::vector<std::int64_t> history_;
  std::vector<std::int64_t> tokens_;
  std::vector<float> scores_;
  std::vector<float> kept_;
  std::vector<ScoredIndex> workspace_;
};

}  // namespace elbeam::search
