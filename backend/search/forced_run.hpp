// Teacher forcing of a whole batch: a model run over given tokens, by elbeam::force().
#pragma once

#include <elbeam/step_model.hpp>

#include <cstdint>
#include <vector>

namespace elbeam::search {

struct ForcedRun {
  const SourceBatch* batch = nullptr;
  // Per sentence what the decoder reads, the start token first; 1 token at least.
  std::vector<std::vector<std::int64_t>> inputs;
  // Per sentence the tokens to be scored, as many as inputs; or empty: nothing is scored.
  std::vector<std::vector<std::int64_t>> targets;
  double temperature = 1.0;
  bool last = false;  // wants ForcedResult::last_log_probs
  bool attention = false;
  bool (*cancelled)() = nullptr;  // polled before the pass
};

struct ForcedResult {
  std::vector<std::vector<float>> target_log_probs;  // [sentences][tokens]
  std::vector<float> last_log_probs;                 // [sentences * vocab] after the last input
  std::vector<std::vector<float>> attention;         // [sentences][tokens * source_width]
  std::int64_t source_width = 0;                     // the longest sentence's
  std::int64_t steps = 0;                            // the longest input's
  std::int64_t rows = 0;                             // all inputs'
};

// Throws Error: kUsage (not one input or target per sentence, an empty one, one longer than the
// model's positions, an id outside the vocabulary, padded length below a sentence's), kLimit,
// kInterrupted.
ForcedResult run_forced(StepModel& model, const ForcedRun& run);

}  // namespace elbeam::search
