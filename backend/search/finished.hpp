// Finished hypotheses: fairseq's finalize_hypos and the sort at the end of _generate.
#pragma once

#include "search/ancestry.hpp"
#include "search/decode_loop.hpp"

#include <cstdint>
#include <vector>

namespace elbeam::search {

// The history `node` ended by eos, whose cumulative score is `eos_score`. Scores are float32 in
// fairseq's order of operations: differences of cumulative scores; the total divided by
// length^lenpen (a double, rounded to float32) when options.normalize_scores.
FinishedHypothesis finish_hypothesis(const Ancestry& ancestry, Ancestry::Node node,
                                     std::int64_t eos, float eos_score,
                                     const SearchOptions& options);

// The coverage penalty of Wu et al. 2016 (arXiv:1609.08144, equation 14) without its weight: the
// sum over source tokens of log(min(sum of the token's attention over all columns, 1)). Never above
// 0; -inf when a token got no attention at all. columns: [tokens][source tokens].
double log_coverage(const std::vector<std::vector<float>>& columns);

// Best first. Equal scores stay in the order in which they finished, which is what torch.sort does
// with up to 16 elements; beyond that its order of ties depends on the processor's vector width,
// and ours does not.
void sort_finished(std::vector<FinishedHypothesis>& hypotheses);

}  // namespace elbeam::search
