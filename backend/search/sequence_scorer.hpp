// Scores of given translations (--score-reference): fairseq's sequence_scorer.py.
#pragma once

#include "search/decode_loop.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace elbeam::search {

struct ScoreTargets {
  const SourceBatch* batch = nullptr;
  SpecialTokens special;
  std::vector<std::vector<std::int64_t>> targets;   // one per sentence, eos included
  std::optional<std::int64_t> start_token{};        // what precedes each target: eos
  std::vector<std::vector<std::int64_t>> inputs{};  // or what the decoder reads; as ScoreRequest's
  bool attention = false;
  bool (*cancelled)() = nullptr;  // as DecodeRequest's
};

// One hypothesis per sentence: the target, its positional scores, their mean as the score and, when
// wanted, the attention. Several models: the mean of their probabilities, then the logarithm; the
// mean of their attention. Throws Error as run_forced().
DecodeResult score_targets(std::span<StepModel* const> models, const ScoreTargets& request);

}  // namespace elbeam::search
