// Decodes many fairseq batches: which sentences are run together, on how many threads, within how
// much memory. Results come in fairseq's order and are those of its batches, however they were run
// (docs/decisions/scheduler.md).
#pragma once

#include <elbeam/generator.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace elbeam::runtime {

struct ScheduleOptions {
  int workers = 1;                // groups that are decoded at the same time
  bool background = false;        // one worker, too, is a thread of its own: the caller's callbacks
                                  // run while a group is decoded
  std::int64_t memory_limit = 0;  // bytes of predict_memory() of all workers together; 0: none
  // Most source tokens of a group, padding included, where several fairseq batches are put into
  // one; 0: no bound.
  std::int64_t max_tokens = 0;
  bool join = true;   // false: every group is one fairseq batch
  bool share = true;  // sentences that ask for the same are decoded once, where that is exact
};

struct ScheduleCounters {
  std::int64_t batches = 0;   // fairseq's
  std::int64_t groups = 0;    // that were decoded
  std::int64_t splits = 0;    // groups that were halved because memory could not be had
  std::int64_t repeated = 0;  // sentences that got the result of an equal one
  double seconds = 0.0;       // of run(), without what its callbacks took
};

// Sentences of a fairseq batch do not depend on each other unless they draw from one random stream
// or share penalties; where they do not, a group may hold a part of a batch, or several batches.
class Scheduler {
 public:
  // The next fairseq batch, or nothing. What the request's pointers point at outlives run().
  using Next = std::function<std::optional<GenerateRequest>()>;
  // The results of the next fairseq batch, in the order in which Next gave them.
  using Deliver = std::function<void(std::vector<SentenceResult>)>;

  // The generator outlives the scheduler. Throws Error(kUsage): workers below 1, more than one for
  // a search that draws random numbers; negative limits.
  Scheduler(const Generator& generator, const SearchOptions& search,
            const ScheduleOptions& options);

  // Calls both functions on the calling thread only. Throws what they and Generator::generate()
  // throw, after the results of all batches before have been delivered; Error(kOutOfMemory) where
  // one sentence alone needs more than there is; Error(kDevice) with the batches and the sentences
  // of the group that a device failed at.
  void run(const Next& next, const Deliver& deliver);

  const ScheduleCounters& counters() const noexcept { return counters_; }

 private:
  class Run;

  const Generator& generator_;
  SearchOptions search_;
  ScheduleOptions options_;
  bool independent_;  // sentences of a batch
  ScheduleCounters counters_;
};

}  // namespace elbeam::runtime
