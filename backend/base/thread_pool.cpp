#include "base/thread_pool.hpp"

#include "base/check.hpp"

#include <sched.h>

#include <chrono>

namespace elbeam {
namespace {

// A step has dozens of loops of some ten microseconds each: waking a sleeping thread for each would
// cost more than the loop, so an idle worker looks for work this long before it sleeps.
constexpr auto kSpinTime = std::chrono::microseconds(100);

int available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  const int count = CPU_COUNT(&set);
  return count > 0 ? count : 1;
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  ELBEAM_CHECK(threads >= 0 && threads <= 1024, ErrorCode::kUsage,
               "threads must be between 0 and 1024, got ", threads);
  const int count = threads == 0 ? available_cpus() : threads;
  workers_.reserve(static_cast<std::size_t>(count - 1));
  for (int i = 1; i < count; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_.store(true);
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(std::int64_t tasks, Body body, void* context) {
  std::unique_lock<std::mutex> owner(callers_, std::defer_lock);
  if (tasks <= 1 || workers_.empty() || !owner.try_lock()) {
    for (std::int64_t task = 0; task < tasks; ++task) body(context, task);
    return;
  }
  body_ = body;
  context_ = context;
  tasks_ = tasks;
  error_ = nullptr;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  drain();
  while (busy_.load(std::memory_order_acquire) != 0) {
    std::this_thread::yield();
  }
  if (error_) std::rethrow_exception(error_);
}

void ThreadPool::drain() noexcept {
  for (;;) {
    const std::int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
    if (task >= tasks_) return;
    try {
      body_(context_, task);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }
}

void ThreadPool::work() {
  std::uint64_t seen = 0;
  for (;;) {
    const auto limit = std::chrono::steady_clock::now() + kSpinTime;
    while (generation_.load(std::memory_order_acquire) == seen) {
      if (std::chrono::steady_clock::now() < limit) {
        std::this_thread::yield();
        continue;
      }
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
    }
    seen = generation_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    drain();
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace elbeam
