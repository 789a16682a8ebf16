// Whether a sentence needs no more steps though fewer hypotheses have finished than could.
#pragma once

#include <elbeam/options.hpp>

#include "search/decode_loop.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::search {

// SearchOptions::early_stopping is exact. Let S be the best cumulative score among the hypotheses
// that go on, t their length, and M = max_len + 1 the length of the longest hypothesis, eos
// included. Log-probabilities are at most 0, so whatever they become has a score of at most S, at
// a length L with t < L <= M, and its final score is at most S / L^lenpen, which is monotone in L:
//
//   bound = max(S / (t + 1)^lenpen, S / M^lenpen)        (S itself when scores are not normalised)
//
// When the nbest-th best finished hypothesis is not below the bound, nothing that is still to
// finish comes before it: equal scores are ordered by when they finished. A coverage penalty only
// lowers final scores. Ensembles round: log-probabilities of up to kLogProbRounding above 0 are
// allowed for, with the rounding of the sums. Where options can raise a score from step to step
// the bound does not hold, and nothing stops early. The same bound holds for hypotheses that have
// finished and are continued to fill the beam, as fairseq does.
class EarlyStop {
 public:
  static constexpr double kLogProbRounding = 1e-5;

  explicit EarlyStop(const SearchOptions& options);

  bool active() const noexcept { return exact_ || heuristic_; }

  // How long the hypotheses of a sentence are that go on, and may become, eos included.
  struct Lengths {
    std::int64_t now = 0;
    std::int64_t longest = 0;
  };

  // finished: of the sentence so far, in any order; best_live: best cumulative score of those that
  // go on.
  bool decided(std::span<const FinishedHypothesis> finished, float best_live,
               const Lengths& lengths);

 private:
  double normalised(double score, std::int64_t length) const;
  double bound(float best_live, const Lengths& lengths) const;

  bool exact_;
  bool heuristic_;
  bool normalize_;
  double lenpen_;
  std::int64_t nbest_;
  std::vector<float> scores_;
};

}  // namespace elbeam::search
