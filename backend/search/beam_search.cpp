#include "search/beam_search.hpp"

namespace elbeam::search {

void BeamSearch::propose(const SentenceStep& step, std::vector<Candidate>& candidates) {
  best_candidates({step.log_probs, step.scores, step.vocab}, step.beam, workspace_, candidates);
}

}  // namespace elbeam::search
