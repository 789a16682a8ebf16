// fairseq/search.py: BeamSearch.step, and the choice of the hypotheses that go on.
#pragma once

#include "search/topk.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::search {

// One way to extend a hypothesis.
struct Candidate {
  float score = 0.0F;  // cumulative
  std::int64_t token = 0;
  std::int64_t row = 0;  // of the sentence's rows in this step: 0 .. rows-1
};

// The best min(count, n - 1) candidates of one sentence, best first; n counts all extensions (n - 1
// because pad is never chosen). scores hold log_probs [rows * vocab] after the rules and the rows'
// cumulative scores as offsets. `candidates` is overwritten; `workspace` as in topk(). Pure.
void best_candidates(const OffsetRows& scores, std::int64_t count,
                     std::vector<ScoredIndex>& workspace, std::vector<Candidate>& candidates);

// What becomes of a candidate.
enum class Fate : std::uint8_t {
  kContinues,
  kFinishes,  // ends in eos, among the first `beam` candidates, possible, and its place is not dead
  kDropped,   // ends in eos behind the first `beam` candidates, or its place is dead
};

// dead: [beam], the places that had no candidate to go on in the step before (fairseq's
// cands_to_ignore, which it applies to candidates by place and not by hypothesis; so do we).
// `fates` is overwritten, one per candidate. Pure.
void decide_fates(std::span<const Candidate> candidates, std::int64_t eos,
                  std::span<const std::uint8_t> dead, std::vector<Fate>& fates);

// The hypotheses of the next step: numbers of the first `beam` candidates that continue, best
// first; where there are fewer, candidates that do not continue fill the places, in order, and
// those places are marked in `dead`. Returns how many places are alive. chosen and dead: [beam].
// Pure.
std::int64_t choose_survivors(std::span<const Fate> fates, std::span<std::int64_t> chosen,
                              std::span<std::uint8_t> dead);

}  // namespace elbeam::search
