// Teacher forcing: a model run over given tokens, one row per sentence.
#pragma once

#include <elbeam/step_model.hpp>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace elbeam::search {

struct ForcedRun {
  const SourceBatch* batch = nullptr;
  // Per sentence what the decoder reads, the start token first; 1 token at least.
  std::vector<std::vector<std::int64_t>> inputs;
  double temperature = 1.0;
  bool attention = false;
  bool (*cancelled)() = nullptr;  // polled once a step, as DecodeRequest's
};

// What the model says after inputs[sentence][position].
struct ForcedStep {
  std::int64_t sentence = 0;
  std::int64_t position = 0;
  std::span<float> log_probs;          // [vocab], may be overwritten
  std::span<const float> attention{};  // [tokens of the source] or empty
};

struct ForcedCounters {
  std::int64_t steps = 0;
  std::int64_t rows = 0;
};

// Calls `visit` for every sentence and position, positions ascending; a sentence has no row any
// more once its inputs have been read. Throws Error: kUsage (not one input per sentence, an empty
// one, one longer than the model's positions, an id outside the vocabulary, padded length below a
// sentence's), kLimit, kInterrupted.
ForcedCounters run_forced(StepModel& model, const ForcedRun& run,
                          const std::function<void(const ForcedStep&)>& visit);

}  // namespace elbeam::search
