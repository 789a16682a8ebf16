#include "search/finished.hpp"

#include <algorithm>
#include <cmath>

namespace elbeam::search {

FinishedHypothesis finish_hypothesis(const Ancestry& ancestry, Ancestry::Node node,
                                     std::int64_t eos, float eos_score,
                                     const SearchOptions& options) {
  FinishedHypothesis hypothesis;
  ancestry.path(node, hypothesis.tokens, hypothesis.positional_scores);
  hypothesis.tokens.push_back(eos);
  std::vector<float>& scores = hypothesis.positional_scores;
  scores.push_back(eos_score);
  for (std::size_t i = scores.size() - 1; i > 0; --i) scores[i] -= scores[i - 1];
  hypothesis.score = eos_score;
  if (options.normalize_scores) {
    const auto length = static_cast<double>(hypothesis.tokens.size());
    hypothesis.score /= static_cast<float>(std::pow(length, options.lenpen));
  }
  return hypothesis;
}

double log_coverage(const std::vector<std::vector<float>>& columns) {
  double total = 0.0;
  for (std::size_t source = 0; source < columns.front().size(); ++source) {
    double coverage = 0.0;
    for (const std::vector<float>& column : columns) {
      coverage += static_cast<double>(column[source]);
    }
    total += std::log(std::min(coverage, 1.0));
  }
  return total;
}

void sort_finished(std::vector<FinishedHypothesis>& hypotheses) {
  const auto better = [](const FinishedHypothesis& x, const FinishedHypothesis& y) {
    return (std::isnan(x.score) && !std::isnan(y.score)) || x.score > y.score;
  };
  std::stable_sort(hypotheses.begin(), hypotheses.end(), better);
}

}  // namespace elbeam::search
