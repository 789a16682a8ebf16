#include "runtime/scheduler.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "runtime/request_group.hpp"
#include "runtime/shared_results.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
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

// " (batches 3 to 4, sentences 17, 5, ...)": the numbers in the data, where they are known.
std::string where(const RequestGroup& group) {
  constexpr std::size_t kNamed = 12;
  const std::int64_t first = group.places.front().batch;
  const std::int64_t last = group.places.back().batch;
  std::string text =
      first == last ? concat(" (batch ", first) : concat(" (batches ", first, " to ", last);
  const std::vector<std::int64_t>& ids = group.request.sentence_ids;
  for (std::size_t i = 0; i < std::min(ids.size(), kNamed); ++i)
    text += concat(i == 0 ? ", sentences " : ", ", ids[i]);
  if (ids.size() > kNamed) text += concat(" and ", ids.size() - kNamed, " more");
  return text + ")";
}

// A group on its way through a worker.
struct Task {
  RequestGroup group;
  std::vector<std::shared_ptr<SharedResult>> shared;  // of each sentence, or nullptr
  std::vector<SentenceResult> results;
  std::exception_ptr error;
  bool done = false;
};

// Threads that do tasks in the order in which they are given; the caller waits for one after the
// other, so that results come in that order too.
class Workers {
 public:
  Workers(int count, std::function<void(Task&)> work) : work_(std::move(work)) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this] { loop(); });
  }
  ~Workers() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void give(const std::shared_ptr<Task>& task) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      waiting_.push_back(task);
    }
    wake_.notify_one();
  }

  void wait_for(const Task& task) {
    std::unique_lock<std::mutex> lock(mutex_);
    finished_.wait(lock, [&] { return task.done; });
  }

 private:
  void loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
      if (stop_) return;  // what still waits is not wanted any more
      const std::shared_ptr<Task> task = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      work_(*task);
      lock.lock();
      task->done = true;
      finished_.notify_all();
    }
  }

  std::function<void(Task&)> work_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable finished_;
  std::deque<std::shared_ptr<Task>> waiting_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

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
      if (group_.size() > 0 && !fits(request, row)) flush();
      append_sentence(group_, request, {number, row});
      shared_.push_back(std::move(found.entry));
      lengths_.push_back(ssize(request.batch.sentences[usize(row)].size()));
      if (group_.size() == 1) check_alone();
    }
    deliver_complete();
  }

  void finish() {
    flush();
    while (!running_.empty()) collect();
  }

  // Results of groups before one that failed are not lost.
  void deliver_what_succeeds() {
    while (!running_.empty()) {
      if (workers_ != nullptr) workers_->wait_for(*running_.front());
      if (running_.front()->error != nullptr) return;
      collect();
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
    lengths_.clear();
    running_.push_back(task);
    if (workers_ == nullptr) {
      execute(*task);
      return collect();
    }
    workers_->give(task);
    while (ssize(running_.size()) > scheduler_.options_.workers * kWaiting) collect();
  }

  void execute(Task& task) {
    try {
      task.results = generate(task.group);
    } catch (const Error& error) {
      task.error = error.code() == ErrorCode::kDevice
                       ? std::make_exception_ptr(
                             Error(error.code(), concat(error.what(), where(task.group))))
                       : std::current_exception();
    } catch (...) {
      task.error = std::current_exception();
    }
  }

  // An allocation that fails halves the group: the halves need half of the caches.
  std::vector<SentenceResult> generate(const RequestGroup& group) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++counters_.groups;
    }
    try {
      return scheduler_.generator_.generate(group.request, scheduler_.search_);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kOutOfMemory || group.size() == 1 ||
          !scheduler_.independent_) {
        throw;
      }
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++counters_.splits;
    }
    const std::int64_t middle = group.size() / 2;
    std::vector<SentenceResult> results = generate(part_of(group, 0, middle));
    for (SentenceResult& result : generate(part_of(group, middle, group.size()))) {
      results.push_back(std::move(result));
    }
    return results;
  }

  // Waits for the oldest group; delivers the batches that it completes.
  void collect() {
    const std::shared_ptr<Task> task = running_.front();
    if (workers_ != nullptr) workers_->wait_for(*task);
    if (task->error != nullptr) std::rethrow_exception(task->error);
    running_.pop_front();
    for (std::size_t i = 0; i < task->group.places.size(); ++i) {
      const Place& place = task->group.places[i];
      SharedResult* const shared = task->shared[i].get();
      if (shared != nullptr) {
        for (const Place& other : std::exchange(shared->waiting, {}))
          settle(other, task->results[i]);
        known_.keep(*shared, task->results[i]);
      }
      settle(place, std::move(task->results[i]));
    }
    deliver_complete();
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
      deliver_(std::move(pending_.begin()->second.results));
      callback_seconds_ += seconds_since(start);
      pending_.erase(pending_.begin());
    }
  }

  Scheduler& scheduler_;
  ScheduleCounters& counters_;
  const Deliver& deliver_;
  std::mutex mutex_;                                   // guards counters_.groups and .splits
  RequestGroup group_;                                 // that is being filled
  std::vector<std::shared_ptr<SharedResult>> shared_;  // of its sentences
  std::vector<std::int64_t> lengths_;                  // of its sources
  std::map<std::int64_t, Pending> pending_;            // batches by number, in their order
  std::deque<std::shared_ptr<Task>> running_;
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
