#include "base/thread_pool.hpp"

#include "base/check.hpp"

#include <sched.h>

#include <chrono>
#include <utility>

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
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(std::int64_t tasks, Body body, void* context) {
  if (tasks <= 1 || workers_.empty() || occupied_.exchange(true, std::memory_order_acquire)) {
    for (std::int64_t task = 0; task < tasks; ++task) body(context, task);
    return;
  }
  body_ = body;
  context_ = context;
  tasks_ = tasks;
  error_ = nullptr;
  unfinished_.store(tasks, std::memory_order_relaxed);
  {
    const std::lock_guard<std::mutex> lock(mutex_);  // or a worker could fall asleep meanwhile
    unclaimed_.store(tasks, std::memory_order_release);
  }
  wake_.notify_all();
  drain();
  while (unfinished_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  const std::exception_ptr error = std::exchange(error_, nullptr);
  occupied_.store(false, std::memory_order_release);
  if (error) std::rethrow_exception(error);
}

void ThreadPool::drain() noexcept {
  std::int64_t left = unclaimed_.load(std::memory_order_acquire);
  while (left > 0) {
    if (!unclaimed_.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel,
                                          std::memory_order_acquire)) {
      continue;
    }
    try {
      body_(context_, tasks_ - left);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
    }
    unfinished_.fetch_sub(1, std::memory_order_release);
    left = unclaimed_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work() {
  const auto called = [this] {
    return stop_.load() || unclaimed_.load(std::memory_order_acquire) > 0;
  };
  while (!stop_.load()) {
    drain();
    const auto limit = std::chrono::steady_clock::now() + kSpinTime;
    while (!called() && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
    if (called()) continue;
    std::unique_lock<std::mutex> lock(mutex_);
    wake_.wait(lock, called);
  }
}

}  // namespace elbeam
