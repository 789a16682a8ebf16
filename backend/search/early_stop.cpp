#include "search/early_stop.hpp"

#include "base/checked_math.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace elbeam::search {
namespace {

bool scores_can_grow(const SearchOptions& options) {
  return options.unk_penalty < 0 ||
         (options.strategy == Strategy::kDiverseBeam && options.diverse_strength < 0) ||
         (options.strategy == Strategy::kDiverseSiblings && options.diversity_rate < 0);
}

}  // namespace

EarlyStop::EarlyStop(const SearchOptions& options)
    : exact_(options.early_stopping && !scores_can_grow(options)),
      heuristic_(options.heuristic_stopping),
      normalize_(options.normalize_scores),
      lenpen_(options.lenpen),
      nbest_(options.nbest) {}

double EarlyStop::normalised(double score, std::int64_t length) const {
  if (!normalize_) return score;
  return score /
         static_cast<double>(static_cast<float>(std::pow(static_cast<double>(length), lenpen_)));
}

double EarlyStop::bound(float best_live, const Lengths& lengths) const {
  constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
  const double score = best_live;
  const double per_step = kLogProbRounding + std::abs(score) * kEpsilon;
  const double highest = score + per_step * static_cast<double>(lengths.longest - lengths.now);
  const double value =
      std::max(normalised(highest, lengths.now + 1), normalised(highest, lengths.longest));
  return value + std::abs(value) * kEpsilon;  // final scores are rounded to float32
}

bool EarlyStop::decided(std::span<const FinishedHypothesis> finished, float best_live,
                        const Lengths& lengths) {
  if (ssize(finished.size()) < nbest_ || std::isnan(best_live)) return false;
  scores_.clear();
  for (const FinishedHypothesis& hypothesis : finished) {
    if (std::isnan(hypothesis.score)) return false;
    scores_.push_back(hypothesis.score);
  }
  const auto nth = scores_.begin() + (nbest_ - 1);
  std::nth_element(scores_.begin(), nth, scores_.end(), std::greater<>());
  const auto worst_returned = static_cast<double>(*nth);
  return (exact_ && worst_returned >= bound(best_live, lengths)) ||
         (heuristic_ && worst_returned >= normalised(static_cast<double>(best_live), lengths.now));
}

}  // namespace elbeam::search
