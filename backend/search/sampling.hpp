// fairseq/search.py: Sampling.
#pragma once

#include <elbeam/random.hpp>

#include "base/philox.hpp"
#include "search/strategy.hpp"
#include "search/topk.hpp"

#include <vector>

namespace elbeam::search {

// Extends every hypothesis by one random token: from all tokens, from the k most probable ones
// (Fan et al. 2018, arXiv:1805.04833), or from the fewest whose probabilities sum up to p (Holtzman
// et al. 2019, arXiv:1904.09751). The rows of a batch read one random stream, as in fairseq: the
// same seed gives the same samples only for the same batches. In the first step all hypotheses of a
// sentence are drawn from its one row. Scores are not renormalised over the truncated set.
class Sampling final : public SearchStrategy {
 public:
  // Throws Error(kUsage) where there is no random stream (which counters do without) or k is above
  // the vocabulary. Keeps a view of the request.
  Sampling(const DecodeRequest& request, const DecodePlan& plan);

  bool sees_whole_batch() const override { return true; }
  void begin_step(const BatchStep& step) override;
  void propose(const SentenceStep& step, std::vector<Candidate>& candidates) override;

 private:
  // What one row is drawn from, and its tokens where that is not all of them in order.
  struct Row {
    std::vector<float> probabilities;
    std::vector<std::int64_t> tokens;
  };

  void keep_all(std::span<const float> log_probs, Row& row) const;
  void keep_most_probable(std::span<const float> log_probs, Row& row);
  void keep_nucleus(std::span<const float> log_probs, Row& row);
  void draw(const BatchStep& step, std::int64_t width);
  std::int64_t draw_by_counter(const Row& row, const PhiloxWords& place) const;
  void add_candidate(const Row& row, std::int64_t sample, const Candidate& base);

  const DecodeRequest& request_;
  const std::int64_t topk_;
  const float topp_;
  RandomStream* random_;  // nullptr: counters
  std::vector<Row> rows_;
  std::vector<Candidate> drawn_;  // [live sentences * beam]
  std::size_t proposed_ = 0;      // of drawn_
  std::vector<ScoredIndex> ranking_;
  std::vector<float> cumulative_;
  std::vector<std::int64_t> samples_;
};

}  // namespace elbeam::search
