#include "runtime/scheduler.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "runtime/request_group.hpp"
#include "runtime/shared_results.hpp"
#include "runtime/workers.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <span>
#include <thread>
#include <utility>

namespace elbeam::runtime {
namespace {

using Clock = std::chrono::steady_clock;

// fairseq batches are put together up to so many hypotheses: from there on the products with the
// weights take as long as their arithmetic (docs/decisions/scheduler.md).
constexpr std::int64_t kJoinedRows = 64;
// And, where no limit was given, up to this many predicted bytes.
constexpr std::int64_t kJoinedBytes = std::int64_t{256} << 20;
// Where others begin in the places of sentences that have ended, a group has up to so many times as
// many sentences as places (docs/decisions/scheduler.md), none of them so long that max_tokens
// leaves less than this share of the places in use.
constexpr std::int64_t kWaves = 16;
constexpr std::int64_t kFewestShare = 2;  // a half
// Groups that wait for a worker, per worker: enough that none waits for the calling thread.
constexpr std::int64_t kWaiting = 2;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Whether the results of a sentence are the same whatever it is decoded with.
bool has_independent_sentences(const SearchOptions& search) {
  switch (search.strategy) {
    case Strategy::kBeam:
    case Strategy::kDiverseSiblings:
    case Strategy::kConstrainedOrdered:
    case Strategy::kConstrainedUnordered:
    case Strategy::kPrefixConstrained:
      return true;
    case Strategy::kDiverseBeam:        // the penalties of a step are shared
    case Strategy::kLengthConstrained:  // so is the longest source
      return false;
    case Strategy::kSampling:  // so is the random stream
      return search.counter_draws;
  }
  return false;
}

}  // namespace

// One call of Scheduler::run().
class Scheduler::Run {
 public:
  Run(Scheduler& scheduler, const Deliver& deliver)
      : scheduler_(scheduler),
        counters_(scheduler.counters_),
        deliver_(deliver),
        known_(scheduler.search_, kept_bytes(scheduler.options_)) {
    if (scheduler.options_.workers > 1 || scheduler.options_.background) {
      workers_ = std::make_unique<Workers>(scheduler.options_.workers,
                                           [this](Task& task) { execute(task); });
    }
  }

  void add(GenerateRequest request) {
    const std::int64_t number = counters_.batches++;
    const std::int64_t size = ssize(request.batch.sentences.size());
    Pending& batch = pending_[number];
    batch.results.resize(usize(size));
    batch.missing = size;
    if (!scheduler_.independent_) {
      flush();
      group_.request = std::move(request);
      for (std::int64_t row = 0; row < size; ++row) group_.places.push_back({number, row});
      shared_.resize(usize(size));
      for (const auto& sentence : group_.request.batch.sentences)
        lengths_.push_back(ssize(sentence.size()));
      check_alone();
      return flush();
    }
    detach_sentences(request, scheduler_.generator_.model_info().special.pad);
    if (group_.size() > 0 && !can_join(group_.request, request)) flush();
    for (std::int64_t row = 0; row < size; ++row) {
      SharedResults::Found found;
      // Equal sentences draw different tokens.
      if (scheduler_.options_.share && scheduler_.search_.strategy != Strategy::kSampling)
        found = known_.find(request, row);
      if (found.entry != nullptr && !found.fresh) {
        repeat(*found.entry, {number, row});
        continue;
      }
      if (group_.size() > 0 && !takes(request, row)) flush();
      append_sentence(group_, request, {number, row});
      shared_.push_back(std::move(found.entry));
      lengths_.push_back(ssize(request.batch.sentences[usize(row)].size()));
      if (group_.size() > 1) continue;
      check_alone();
      refills_ = scheduler_.generator_.refills(group_.request, scheduler_.search_);
    }
    deliver_complete();
  }

  void finish() {
    flush();
    while (!running_.empty()) collect();
  }

  // Results of groups before one that failed are not lost, unless it is their delivery that failed.
  void deliver_what_succeeds() {
    while (delivers_ && !running_.empty() && take_front() == nullptr) {
    }
  }

  double callback_seconds() const noexcept { return callback_seconds_; }

 private:
  struct Pending {
    std::vector<SentenceResult> results;
    std::int64_t missing = 0;
  };

  // Results that are kept for equal sentences: 16 MiB, some ten thousand short sentences; a
  // sixteenth of a memory limit, and counted in it.
  static std::int64_t kept_bytes(const ScheduleOptions& options) noexcept {
    constexpr std::int64_t kMost = std::int64_t{16} << 20;
    return options.memory_limit == 0 ? kMost : std::min(kMost, options.memory_limit / 16);
  }

  std::int64_t limit() const noexcept {
    const ScheduleOptions& options = scheduler_.options_;
    if (options.memory_limit == 0) return 0;  // none
    const std::int64_t kept = options.share ? kept_bytes(options) : 0;
    return (options.memory_limit - kept) / options.workers;
  }

  std::int64_t bytes_of_group(std::int64_t padded_length) const {
    return scheduler_.generator_.predict_memory(lengths_, padded_length, scheduler_.search_);
  }

  // A group that cannot be made smaller.
  void check_alone() const {
    if (limit() == 0) return;
    const std::int64_t bytes = bytes_of_group(group_.request.batch.padded_length);
    ELBEAM_CHECK(bytes <= limit(), ErrorCode::kOutOfMemory, "memory limit: ", lengths_.size(),
                 " sentence(s) of up to ", *std::ranges::max_element(lengths_), " tokens may need ",
                 bytes, " bytes, ", limit(), " are allowed for each of ",
                 scheduler_.options_.workers,
                 " worker(s); give a larger --memory-limit or shorter "
                 "outputs (--max-len-b)");
  }

  // Whether the group may have this sentence, too.
  bool takes(const GenerateRequest& batch, std::int64_t row) {
    return (group_.request.places == 0 && fits(batch, row)) || may_wait(batch, row);
  }

  // Sentences of a group for each of its places. With several workers the first groups are small,
  // so that all of them get some of what may be few sentences.
  std::int64_t waves() const noexcept {
    const int workers = scheduler_.options_.workers;
    return workers == 1 ? kWaves : std::min(kWaves, 1 + given_ / workers);
  }

  // Whether it may be decoded in the place of one that has ended. A group that is full has as many
  // places as it has sentences then, each with room for any sentence that waits, and as much again
  // for those that are encoded ahead.
  bool may_wait(const GenerateRequest& batch, std::int64_t row) {
    if (!refills_) return false;
    GenerateRequest& group = group_.request;
    const std::int64_t full = group.places > 0 ? group.places : group_.size();
    const std::int64_t padded =
        std::max(group.batch.padded_length, batch.batch.padded_lengths[usize(row)]);
    const std::int64_t tokens = scheduler_.options_.max_tokens;
    if (group_.size() >= checked_mul(full, waves())) return false;
    if (tokens > 0 && checked_mul(full, padded) > checked_mul(kFewestShare, tokens)) return false;
    if (group.places == 0) joined_ = group_.places.front().batch != group_.places.back().batch;
    const std::int64_t longest = std::max(*std::ranges::max_element(lengths_),
                                          ssize(batch.batch.sentences[usize(row)].size()));
    const std::int64_t room = tokens > 0 ? std::min(longest, (tokens + full - 1) / full) : longest;
    const std::int64_t bytes = limit() > 0 ? limit() : joined_ ? kJoinedBytes : 0;
    if (bytes > 0 &&
        scheduler_.generator_.predict_memory(std::vector<std::int64_t>(usize(full), 2 * room),
                                             padded, scheduler_.search_) > bytes) {
      return false;
    }
    lengths_ = {longest};
    group.places = full;
    group.source_tokens = tokens;
    return true;
  }

  // Whether it may be decoded at the same time.
  bool fits(const GenerateRequest& batch, std::int64_t row) {
    const std::int64_t padded =
        std::max(group_.request.batch.padded_length, batch.batch.padded_lengths[usize(row)]);
    const std::int64_t sentences = group_.size() + 1;
    const bool joins = group_.places.front().batch != group_.places.back().batch ||
                       group_.places.back().batch != counters_.batches - 1;
    if (joins) {
      const std::int64_t beam = scheduler_.search_.beam;
      if (checked_mul(sentences, beam) > kJoinedRows) return false;
      const std::int64_t most = scheduler_.options_.max_tokens;
      if (most > 0 && checked_mul(sentences, padded) > most) return false;
    }
    if (limit() == 0 && !joins) return true;
    lengths_.push_back(ssize(batch.batch.sentences[usize(row)].size()));
    const std::int64_t bytes = bytes_of_group(padded);
    lengths_.pop_back();
    return bytes <= (limit() > 0 ? limit() : kJoinedBytes);
  }

  // Hands the group over to be decoded.
  void flush() {
    if (group_.size() == 0) return;
    auto task = std::make_shared<Task>();
    task->group = std::exchange(group_, {});
    task->shared = std::exchange(shared_, {});
    task->known.resize(usize(task->group.size()));
    lengths_.clear();
    running_.push_back(task);
    if (workers_ == nullptr) {
      execute(*task);
      return collect();
    }
    ++given_;
    workers_->give(task);
    while (ssize(running_.size()) > scheduler_.options_.workers * kWaiting) collect();
  }

  void execute(Task& task) {
    std::exception_ptr problem;
    try {
      generate(task, task.group.request, task.all());
    } catch (const Error& error) {
      problem =
          error.code() == ErrorCode::kDevice
              ? std::make_exception_ptr(Error(error.code(), concat(error.what(), task.where())))
              : std::current_exception();
    } catch (...) {
      problem = std::current_exception();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    task.error = problem;
    task.done = true;
    news_.notify_all();
  }

  void report(Task& task, std::int64_t sentence, SentenceResult result) {
    task.known[usize(sentence)] = true;
    const std::lock_guard<std::mutex> lock(mutex_);
    task.arrived.emplace_back(sentence, std::move(result));
    news_.notify_all();
  }

  // An allocation that fails halves what is left: the halves need half of the caches.
  void generate(Task& task, GenerateRequest& request, const std::vector<std::int64_t>& members) {
    count(&ScheduleCounters::groups);
    request.finished = [&](std::int64_t i, SentenceResult result) {
      report(task, members[usize(i)], std::move(result));
    };
    try {
      auto results = scheduler_.generator_.generate(request, scheduler_.search_);
      for (std::size_t i = 0; i < members.size(); ++i) {
        if (!task.known[usize(members[i])]) report(task, members[i], std::move(results[i]));
      }
      return;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kOutOfMemory || members.size() == 1 ||
          !scheduler_.independent_) {
        throw;
      }
    }
    count(&ScheduleCounters::splits);
    const std::vector<std::int64_t> left = task.left(members);
    const auto middle = left.begin() + ssize(left.size()) / 2;
    for (const std::vector<std::int64_t>& half :
         {std::vector(left.begin(), middle), std::vector(middle, left.end())}) {
      if (half.empty()) continue;
      GenerateRequest part = part_of(task.group, half);
      part.places = (request.places + 1) / 2;
      generate(task, part, half);
    }
  }

  void count(std::int64_t ScheduleCounters::*counter) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++(counters_.*counter);
  }

  // Waits for the oldest group; delivers the batches that it completes.
  void collect() {
    if (const std::exception_ptr error = take_front()) std::rethrow_exception(error);
  }

  // Takes the results of the oldest group as they come. A group that failed stays; returns why.
  std::exception_ptr take_front() {
    const std::shared_ptr<Task> task = running_.front();
    for (bool done = false; !done;) {
      std::unique_lock<std::mutex> lock(mutex_);
      news_.wait(lock, [&] { return task->done || !task->arrived.empty(); });
      const auto arrived = std::exchange(task->arrived, {});
      done = task->done;
      lock.unlock();
      for (const auto& [sentence, result] : arrived) settle(*task, sentence, result);
      deliver_complete();
    }
    if (task->error == nullptr) running_.pop_front();
    return task->error;
  }

  void settle(const Task& task, std::int64_t sentence, const SentenceResult& result) {
    SharedResult* const shared = task.shared[usize(sentence)].get();
    if (shared != nullptr) {
      for (const Place& other : std::exchange(shared->waiting, {})) settle(other, result);
      known_.keep(*shared, result);
    }
    settle(task.group.places[usize(sentence)], result);
  }

  void settle(const Place& place, SentenceResult result) {
    Pending& batch = pending_.at(place.batch);
    batch.results[usize(place.row)] = std::move(result);
    --batch.missing;
  }

  // An equal sentence came before.
  void repeat(SharedResult& shared, const Place& place) {
    ++counters_.repeated;
    if (shared.result) return settle(place, *shared.result);
    shared.waiting.push_back(place);
  }

  void deliver_complete() {
    while (!pending_.empty() && pending_.begin()->second.missing == 0) {
      const Clock::time_point start = Clock::now();
      std::vector<SentenceResult> results = std::move(pending_.begin()->second.results);
      pending_.erase(pending_.begin());
      delivers_ = false;  // if it throws, it is not called again
      deliver_(std::move(results));
      delivers_ = true;
      callback_seconds_ += seconds_since(start);
    }
  }

  Scheduler& scheduler_;
  ScheduleCounters& counters_;
  const Deliver& deliver_;
  std::mutex mutex_;              // guards what Task says, counters_.groups and .splits
  std::condition_variable news_;  // of a task
  RequestGroup group_;            // that is being filled
  std::vector<std::shared_ptr<SharedResult>> shared_;  // of its sentences
  std::vector<std::int64_t> lengths_;  // of its sources; the longest, where some wait
  bool refills_ = false;               // it
  std::int64_t given_ = 0;             // groups, to workers
  bool joined_ = false;  // those of its sentences that begin at once are of several batches
  std::map<std::int64_t, Pending> pending_;  // batches by number, in their order
  std::deque<std::shared_ptr<Task>> running_;
  bool delivers_ = true;
  double callback_seconds_ = 0.0;
  SharedResults known_;
  std::unique_ptr<Workers> workers_;  // last: its threads use what is above
};

Scheduler::Scheduler(const Generator& generator, const SearchOptions& search,
                     const ScheduleOptions& options)
    : generator_(generator),
      search_(search),
      options_(options),
      independent_(options.join && has_independent_sentences(search)) {
  ELBEAM_CHECK(options.workers >= 1 && options.workers <= 1024, ErrorCode::kUsage,
               "--workers: expected 1 to 1024, got ", options.workers);
  ELBEAM_CHECK(
      options.workers == 1 || search.strategy != Strategy::kSampling || search.counter_draws,
      ErrorCode::kUsage, "--workers ", options.workers,
      ": samples are drawn in the order of the batches, so --sampling takes one worker "
      "(--sampling-draws counter takes any number)");
  ELBEAM_CHECK(options.memory_limit >= 0 && options.max_tokens >= 0, ErrorCode::kUsage,
               "--memory-limit and --max-tokens must not be negative");
}

void Scheduler::run(const Next& next, const Deliver& deliver) {
  const Clock::time_point start = Clock::now();
  Run run(*this, deliver);
  double next_seconds = 0.0;
  std::exception_ptr failed;  // of next()
  const auto take = [&]() -> std::optional<GenerateRequest> {
    const Clock::time_point begin = Clock::now();
    std::optional<GenerateRequest> request;
    try {
      request = next();
    } catch (...) {
      failed = std::current_exception();
    }
    next_seconds += seconds_since(begin);
    return request;
  };
  try {
    while (std::optional<GenerateRequest> request = take()) run.add(std::move(*request));
    run.finish();
  } catch (...) {
    run.deliver_what_succeeds();
    throw;
  }
  if (failed != nullptr) std::rethrow_exception(failed);
  counters_.seconds += seconds_since(start) - next_seconds - run.callback_seconds();
}

}  // namespace elbeam::runtime
