// fairseq/search.py: BeamSearch and LengthConstrainedBeamSearch.
#pragma once

#include "search/strategy.hpp"
#include "search/topk.hpp"

#include <vector>

namespace elbeam::search {

// The best 2 * beam extensions of all hypotheses of a sentence.
class BeamSearch final : public SearchStrategy {
 public:
  void propose(const SentenceStep& step, std::vector<Candidate>& candidates) override;

 private:
  std::vector<ScoredIndex> workspace_;
};

}  // namespace elbeam::search
