// fairseq/search.py: BeamSearch and LengthConstrainedBeamSearch.
#pragma once

#include "search/strategy.hpp"
#include "search/topk.hpp"

#include <cstdint>
#include <vector>

namespace elbeam::search {

// The best 2 * beam extensions of all hypotheses of a sentence: twice the beam because half of them
// may end in eos.
class BeamSearch : public SearchStrategy {
 public:
  void propose(const SentenceStep& step, std::vector<Candidate>& candidates) override;

 private:
  std::vector<ScoredIndex> workspace_;
};

// Hypotheses as long as their source: eos is impossible before, and has the log-probability 0 from
// there on, which other tokens may still beat while the score is 0 (a certain prefix).
class LengthConstrainedBeamSearch final : public BeamSearch {
 public:
  // source_lengths: one per sentence of the batch.
  LengthConstrainedBeamSearch(std::int64_t eos, std::vector<std::int64_t> source_lengths)
      : eos_(eos), source_lengths_(std::move(source_lengths)) {}

  void propose(const SentenceStep& step, std::vector<Candidate>& candidates) override;

 private:
  std::int64_t eos_;
  std::vector<std::int64_t> source_lengths_;
};

}  // namespace elbeam::search
