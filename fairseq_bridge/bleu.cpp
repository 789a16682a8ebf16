#include "fairseq_bridge/bleu.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "text/python_format.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace elbeam::fairseq {
namespace {

constexpr std::int64_t kNeverMatches = -999;  // what fairseq puts for unk into the reference

double ratio(std::int64_t a, std::int64_t b) {
  return b > 0 ? static_cast<double>(a) / static_cast<double>(b) : 0.0;
}

}  // namespace

BleuScorer::BleuScorer(const SpecialTokens& special, Smoothing smoothing) : special_(special) {
  if (smoothing == Smoothing::kAddOne) matches_ = totals_ = {0, 1, 1, 1};
}

std::span<const std::int64_t> BleuScorer::trim(std::span<const std::int64_t> tokens) const {
  while (!tokens.empty() && tokens.front() == special_.pad) tokens = tokens.subspan(1);
  while (tokens.size() > 1 && (tokens.back() == special_.eos || tokens.back() == special_.pad)) {
    tokens = tokens.first(tokens.size() - 1);
  }
  return tokens;
}

void BleuScorer::add(std::vector<std::int64_t> reference,
                     const std::vector<std::int64_t>& hypothesis) {
  std::replace(reference.begin(), reference.end(), special_.unk, kNeverMatches);
  const auto expected = trim(reference);
  const auto actual = trim(hypothesis);
  reference_length_ += ssize(expected.size());
  hypothesis_length_ += ssize(actual.size());
  for (std::size_t order = 1; order <= matches_.size(); ++order) {
    if (actual.size() < order) break;
    totals_[order - 1] += ssize(actual.size() - order + 1);
    // libbleu compares 64-bit hashes of the n-grams; here they are compared themselves.
    std::map<std::vector<std::int64_t>, std::int64_t> counts;
    for (std::size_t i = 0; i + order <= actual.size(); ++i) {
      ++counts[{actual.begin() + ssize(i), actual.begin() + ssize(i + order)}];
    }
    for (std::size_t i = 0; i + order <= expected.size(); ++i) {
      const auto found =
          counts.find({expected.begin() + ssize(i), expected.begin() + ssize(i + order)});
      if (found == counts.end() || found->second == 0) continue;
      --found->second;
      ++matches_[order - 1];
    }
  }
}

double BleuScorer::precision(int order) const {
  return ratio(matches_[usize(order - 1)], totals_[usize(order - 1)]);
}

double BleuScorer::brevity() const {
  return hypothesis_length_ > 0
             ? std::exp(std::min(0.0, 1.0 - ratio(reference_length_, hypothesis_length_)))
             : 0.0;
}

double BleuScorer::score(int order) const {
  ELBEAM_INVARIANT(order >= 1 && usize(order) <= matches_.size());
  double log_sum = 0.0;  // -inf where nothing matches: the score is 0 then
  for (int i = 1; i <= order; ++i) log_sum += std::log(precision(i));
  return brevity() * std::exp(log_sum / order) * 100;
}

std::string BleuScorer::result_string(int order) const {
  using text::python_fixed;
  const double all = score(order);
  std::string precisions;
  for (int i = 1; i <= order; ++i)
    precisions += (i == 1 ? "" : "/") + python_fixed(precision(i) * 100, 1);
  return concat("BLEU", order, " = ", python_fixed(all, 2), ", ", precisions,
                " (BP=", python_fixed(brevity(), 3),
                ", ratio=", python_fixed(ratio(hypothesis_length_, reference_length_), 3),
                ", syslen=", hypothesis_length_, ", reflen=", reference_length_, ")");
}

}  // namespace elbeam::fairseq
