// What fairseq does to the log-probabilities of one step before the search sees them
// (SequenceGenerator._generate, between forward_decoder and search.step).
#pragma once

#include <elbeam/step_model.hpp>

#include "search/topk.hpp"

#include <cstdint>
#include <optional>
#include <span>

namespace elbeam::search {

// The log-probabilities of what may follow one hypothesis.
struct LprobRow {
  std::span<float> log_probs;  // [vocab]
  std::span<float> bounds;     // [bound_count(vocab)] upper bounds, see OffsetRows

  void set(std::int64_t token, float value) const noexcept;
};

// The rules of one step, the same for all rows of a sentence.
struct LprobRules {
  SpecialTokens special;
  float unk_penalty = 0.0F;
  bool at_max_len = false;                     // only eos may follow
  bool below_min_len = false;                  // eos may not follow; never set in a prefix step
  std::optional<std::int64_t> forced_token{};  // only this token may follow (--prefix-size)
};

// Applies, in fairseq's order: NaN becomes -inf; pad is -inf; unk loses its penalty; then the
// length limits and the forced token. Finds the bounds that are NaN. Ids are inside the vocabulary.
void apply_rules(const LprobRules& rules, const LprobRow& row) noexcept;

}  // namespace elbeam::search
