#include "search/beam_step.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>
#include <limits>

namespace elbeam::search {

void best_candidates(const OffsetRows& scores, std::int64_t count,
                     std::vector<ScoredIndex>& workspace, std::vector<Candidate>& candidates) {
  const std::int64_t extensions = ssize(scores.offsets.size()) * scores.width;
  candidates.clear();
  for (const ScoredIndex& best : topk(scores, std::min(count, extensions - 1), workspace)) {
    candidates.push_back({best.score, best.index % scores.width, best.index / scores.width});
  }
}

void decide_fates(std::span<const Candidate> candidates, std::int64_t eos,
                  std::span<const std::uint8_t> dead, std::vector<Fate>& fates) {
  fates.clear();
  for (std::size_t place = 0; place < candidates.size(); ++place) {
    const Candidate& candidate = candidates[place];
    const bool in_beam = place < dead.size();
    // An impossible eos is an ordinary candidate: it stays, with its score of -inf.
    const bool ends =
        candidate.token == eos && candidate.score != -std::numeric_limits<float>::infinity();
    if (in_beam && dead[place] != 0) {
      fates.push_back(Fate::kDropped);
    } else if (ends) {
      fates.push_back(in_beam ? Fate::kFinishes : Fate::kDropped);
    } else {
      fates.push_back(Fate::kContinues);
    }
  }
}

std::int64_t choose_survivors(std::span<const Fate> fates, std::span<std::int64_t> chosen,
                              std::span<std::uint8_t> dead) {
  ELBEAM_INVARIANT(fates.size() >= chosen.size() && dead.size() == chosen.size());
  std::size_t place = 0;
  const auto take = [&](bool continuing) {
    for (std::size_t i = 0; i < fates.size() && place < chosen.size(); ++i) {
      if ((fates[i] == Fate::kContinues) != continuing) continue;
      chosen[place] = ssize(i);
      dead[place] = continuing ? 0 : 1;
      ++place;
    }
  };
  take(true);
  const std::int64_t alive = ssize(place);
  take(false);
  return alive;
}

}  // namespace elbeam::search
