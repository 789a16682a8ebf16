// Decoding batches of a split: what elbeam-generate's run and its measurement of quality share.
#pragma once

#include <elbeam/generator.hpp>

#include "fairseq_bridge/generate_options.hpp"
#include "fairseq_bridge/generation_dataset.hpp"
#include "runtime/scheduler.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace elbeam::fairseq {

// The task, its loaded split and what is wanted.
struct GenerateJob {
  const GenerateOptions& options;
  const Task& task;
  const GenerationDataset& dataset;
};

using Batches = std::vector<std::vector<std::int64_t>>;  // sentences' numbers in the data set

// The rows of a batch as fairseq orders them, and what was found for them.
using TakeResults =
    std::function<void(const std::vector<Sentence>&, const std::vector<SentenceResult>&)>;

// Decodes the batches and hands each one's results over, in their order. Tells `quirks` what the
// batches meet, where there is one. Throws Error as Scheduler::run() does.
runtime::ScheduleCounters decode_batches(const Generator& generator, const GenerateJob& job,
                                         const Batches& batches, QuirkLog* quirks,
                                         const TakeResults& take);

// What a hypothesis of this architecture is sampled from differs from fairseq's: said once a run.
void warn_of_unknown_draws(const Generator& generator, const GenerateOptions& options);

}  // namespace elbeam::fairseq
