// fairseq/search.py: LexicallyConstrainedBeamSearch.
#pragma once

#include "search/constraint_state.hpp"
#include "search/strategy.hpp"
#include "search/topk.hpp"

#include <vector>

namespace elbeam::search {

// Beam search whose hypotheses end only when they contain the sentence's constraints. Candidates
// are the best of the beam, the best of each hypothesis, and every token that would meet more of
// the constraints; the beam is dealt out among the numbers of tokens that were met ("banks"), the
// best candidate of each bank first. As in fairseq an empty hypothesis may end (with min_len 0).
class ConstrainedSearch final : public SearchStrategy {
 public:
  // Throws Error(kUsage) where the constraints are not one list per sentence, one is empty, a token
  // is outside the vocabulary, or a sentence's constraints are longer than max_len: no hypothesis
  // could end then (fairseq stops with an assertion at the last step).
  ConstrainedSearch(const DecodeRequest& request, const DecodePlan& plan);

  void propose(const SentenceStep& step, std::vector<Candidate>& candidates) override;
  void survive(std::int64_t sentence, std::span<const std::int64_t> survivors) override;

 private:
  struct Extension {
    Candidate candidate;
    ConstraintStatePtr state{};  // behind the candidate
    std::int64_t left = 0;       // constraint tokens to be met, as counted_tokens() counts
    float key = 0.0F;            // `left` and score in one number
    std::int64_t stripe = 0;
  };

  void forbid_early_ends(const SentenceStep& step) const;
  void collect(const SentenceStep& step);
  void sort_by_bank();
  void drop_repetitions(std::int64_t vocab);
  void sort_by_stripe();

  const std::int64_t eos_;
  std::vector<std::vector<ConstraintStatePtr>> states_;  // [sentences][rows]
  std::vector<ConstraintStatePtr> proposed_;             // of the last propose()

  // Work space.
  std::vector<Extension> extensions_;
  std::vector<ScoredIndex> workspace_;
  std::vector<Candidate> best_;
  std::vector<std::int64_t> tokens_;
};

}  // namespace elbeam::search
