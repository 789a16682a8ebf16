#include "search/beam_search.hpp"

#include "base/checked_math.hpp"

#include <limits>

namespace elbeam::search {

void BeamSearch::propose(const SentenceStep& step, std::vector<Candidate>& candidates) {
  best_candidates({step.log_probs, step.scores, step.vocab, step.vocab, step.bounds}, 2 * step.beam,
                  workspace_, candidates);
}

void LengthConstrainedBeamSearch::propose(const SentenceStep& step,
                                          std::vector<Candidate>& candidates) {
  const bool too_short = step.step < source_lengths_[usize(step.sentence)];
  const float eos_score = too_short ? -std::numeric_limits<float>::infinity() : 0.0F;
  for (std::int64_t row = 0; row < ssize(step.scores.size()); ++row) {
    step.row(row).set(eos_, eos_score);
  }
  BeamSearch::propose(step, candidates);
}

}  // namespace elbeam::search
