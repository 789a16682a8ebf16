#include "search/lprob_rules.hpp"

#include "base/checked_math.hpp"
#include "search/topk.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace elbeam::search {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();
typedef float Lanes __attribute__((vector_size(16)));
typedef Lanes UnalignedLanes __attribute__((aligned(4), may_alias));
constexpr std::int64_t kLanes = 4;

// The largest of some values, and -inf in place of each NaN.
float clean_and_bound(std::span<float> values) noexcept {
  float bound = kImpossible;
  for (float& value : values) {
    if (std::isnan(value)) value = kImpossible;
    bound = std::max(bound, value);
  }
  return bound;
}

// The same of kBoundWidth values. Vectors by hand: the compiler must keep the order of comparisons,
// which matters only for NaN and the sign of zero.
float clean_and_bound_block(float* values) noexcept {
  Lanes bound = kImpossible - Lanes{};
  decltype(bound != bound) nan{};
  for (std::int64_t i = 0; i < kBoundWidth; i += kLanes) {
    const Lanes part = *reinterpret_cast<const UnalignedLanes*>(values + i);
    bound = part > bound ? part : bound;
    nan |= part != part;
  }
  if ((nan[0] | nan[1] | nan[2] | nan[3]) != 0) return clean_and_bound({values, kBoundWidth});
  return std::max(std::max(bound[0], bound[1]), std::max(bound[2], bound[3]));
}

// What the model said of a block (StepOutput::bounds) is taken as it is.
void clean_and_bound(const LprobRow& row) noexcept {
  const std::int64_t width = ssize(row.log_probs.size());
  for (std::int64_t i = 0; i < width; i += kBoundWidth) {
    float& bound = row.bounds[usize(i / kBoundWidth)];
    if (!std::isnan(bound)) continue;
    bound = width - i >= kBoundWidth ? clean_and_bound_block(row.log_probs.data() + i)
                                     : clean_and_bound(row.log_probs.subspan(usize(i)));
  }
}

void allow_only(std::int64_t token, std::span<float> log_probs) noexcept {
  const float kept = log_probs[usize(token)];
  std::fill(log_probs.begin(), log_probs.end(), kImpossible);
  log_probs[usize(token)] = kept;
}

}  // namespace

void LprobRow::set(std::int64_t token, float value) const noexcept {
  log_probs[usize(token)] = value;
  float& bound = bounds[usize(token / kBoundWidth)];
  if (!(value <= bound)) bound = value;
}

void apply_rules(const LprobRules& rules, const LprobRow& row) noexcept {
  const std::span<float> log_probs = row.log_probs;
  clean_and_bound(row);
  log_probs[usize(rules.special.pad)] = kImpossible;
  row.set(rules.special.unk, log_probs[usize(rules.special.unk)] - rules.unk_penalty);
  if (rules.at_max_len) allow_only(rules.special.eos, log_probs);
  if (rules.forced_token) allow_only(*rules.forced_token, log_probs);
  if (rules.below_min_len) log_probs[usize(rules.special.eos)] = kImpossible;
}

}  // namespace elbeam::search
