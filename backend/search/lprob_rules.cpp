#include "search/lprob_rules.hpp"

#include "base/checked_math.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace elbeam::search {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();
constexpr std::size_t kBlock = 64;  // fixed, so that the compiler can use vector registers

bool block_has_nan(const float* values) noexcept {
  int any = 0;
  for (std::size_t i = 0; i < kBlock; ++i) any |= static_cast<int>(values[i] != values[i]);
  return any != 0;
}

void replace_nan(std::span<float> log_probs) noexcept {
  const auto replace = [](std::span<float> part) {
    for (float& value : part) {
      if (std::isnan(value)) value = kImpossible;
    }
  };
  std::size_t i = 0;
  for (; i + kBlock <= log_probs.size(); i += kBlock) {
    if (block_has_nan(log_probs.data() + i)) replace(log_probs.subspan(i, kBlock));
  }
  replace(log_probs.subspan(i));
}

void allow_only(std::int64_t token, std::span<float> log_probs) noexcept {
  const float kept = log_probs[usize(token)];
  std::fill(log_probs.begin(), log_probs.end(), kImpossible);
  log_probs[usize(token)] = kept;
}

}  // namespace

void apply_rules(const LprobRules& rules, std::span<float> log_probs) noexcept {
  replace_nan(log_probs);
  log_probs[usize(rules.special.pad)] = kImpossible;
  log_probs[usize(rules.special.unk)] -= rules.unk_penalty;
  if (rules.at_max_len) allow_only(rules.special.eos, log_probs);
  if (rules.forced_token) allow_only(*rules.forced_token, log_probs);
  if (rules.below_min_len) log_probs[usize(rules.special.eos)] = kImpossible;
}

}  // namespace elbeam::search
