// A fixed set of threads for the loops inside one decoding step.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace elbeam {

// parallel_for(n, f) runs f(0) .. f(n-1) on the pool's threads, the caller among them, and returns
// when all are done; the first exception of a task is rethrown. Which thread runs which task is not
// fixed, so tasks must not depend on it: results are then the same for every number of threads.
// Thread-safe: while one caller uses the workers, other callers run their loops alone, and so does
// a loop inside a task.
class ThreadPool {
 public:
  // threads counts the caller; 0 means as many as this process may run on.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const noexcept { return static_cast<int>(workers_.size()) + 1; }

  template <typename Function>
  void parallel_for(std::int64_t tasks, Function&& function) {
    run(
        tasks,
        [](void* context, std::int64_t task) {
          (*static_cast<std::remove_reference_t<Function>*>(context))(task);
        },
        const_cast<void*>(static_cast<const void*>(&function)));
  }

 private:
  using Body = void (*)(void* context, std::int64_t task);

  void run(std::int64_t tasks, Body body, void* context);
  void work();
  void drain() noexcept;

  std::vector<std::thread> workers_;
  std::atomic<bool> occupied_{false};  // a caller's loop is on the workers

  std::mutex mutex_;  // guards sleeping and waking
  std::condition_variable wake_;
  std::atomic<bool> stop_{false};

  // The current loop. A thread that takes a task off unclaimed_ may read the other fields until it
  // has counted the task off unfinished_; the caller waits for that count alone, never for a thread
  // that took nothing: on a busy machine some are not running at all.
  Body body_ = nullptr;
  void* context_ = nullptr;
  std::int64_t tasks_ = 0;
  std::atomic<std::int64_t> unclaimed_{0};
  std::atomic<std::int64_t> unfinished_{0};
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

}  // namespace elbeam
