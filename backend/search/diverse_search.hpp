// fairseq/search.py: DiverseBeamSearch and DiverseSiblingsSearch.
#pragma once

#include "search/strategy.hpp"
#include "search/topk.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::search {

// Diverse beam search (Vijayakumar et al. 2016, arXiv:1610.02424). Place p of the beam belongs to
// group p % groups; groups choose one after the other, and what earlier ones have chosen costs the
// later ones. The penalty stays in the scores. See SearchOptions for its two forms.
class DiverseBeamSearch final : public SearchStrategy {
 public:
  // options.diverse_groups divides the beam. Throws Error(kUsage) for diversity_ids that are not
  // one for each sentence, below their number.
  DiverseBeamSearch(const DecodeRequest& request, const DecodePlan& plan);

  void propose(const SentenceStep& step, std::vector<Candidate>& candidates) override;

 private:
  void collect_penalties(const SentenceStep& step, std::int64_t group);
  void choose_group(const SentenceStep& step, std::int64_t group);
  void update_overlap(const SentenceStep& step);
  std::int64_t slot(const SentenceStep& step) const;
  float& overlap(std::int64_t slot, std::int64_t group, std::int64_t other);

  std::int64_t groups_;
  float strength_;
  bool cumulative_;
  std::vector<std::int64_t> ids_;  // diversity_ids
  // [sentences][groups][groups] how often two groups have chosen the same token at the same rank:
  // by place and not by hypothesis, as in fairseq. Empty unless cumulative.
  std::vector<float> overlap_;
  std::vector<std::vector<Candidate>> chosen_;  // [groups] of this step
  std::vector<float> penalties_;                // [vocab], 0 but for the penalised tokens
  std::vector<std::int64_t> penalised_;
  std::vector<float> saved_;  // log-probabilities of penalised tokens before the penalty
  std::vector<float> group_scores_;
  std::vector<ScoredIndex> workspace_;
};

// Beam search with diverse siblings (Li et al. 2016, arXiv:1611.08562): the i-th best extension of
// a hypothesis, i from 1 on, loses rate * i, which stays in its score. Not in the first step.
class DiverseSiblingsSearch final : public SearchStrategy {
 public:
  explicit DiverseSiblingsSearch(double rate) : rate_(static_cast<float>(rate)) {}

  void propose(const SentenceStep& step, std::vector<Candidate>& candidates) override;

 private:
  float rate_;
  std::vector<float> sibling_scores_;         // [rows * siblings]
  std::vector<std::int64_t> sibling_tokens_;  // [rows * siblings]
  std::vector<float> no_offsets_;             // [rows]
  std::vector<ScoredIndex> workspace_;
};

}  // namespace elbeam::search
