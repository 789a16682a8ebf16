// Groups of sentences on their way through the threads that decode them.
#pragma once

#include "runtime/request_group.hpp"
#include "runtime/shared_results.hpp"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace elbeam::runtime {

struct Task {
  RequestGroup group;
  std::vector<std::shared_ptr<SharedResult>> shared;  // of each sentence, or nullptr
  std::vector<bool> known;                            // [sentences]
  // Guarded by the mutex of who gives it: what a worker leaves for the calling thread.
  std::vector<std::pair<std::int64_t, SentenceResult>> arrived;
  std::exception_ptr error;
  bool done = false;

  std::vector<std::int64_t> all() const;
  // Those that have no result.
  std::vector<std::int64_t> left(std::span<const std::int64_t> members) const;
  // " (batches 3 to 4, sentences 17, 5, ...)": the numbers in the data, where they are known, of
  // those that have no result.
  std::string where() const;
};

// Threads that do tasks in the order in which they are given.
class Workers {
 public:
  Workers(int count, std::function<void(Task&)> work);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void give(const std::shared_ptr<Task>& task);

 private:
  void loop();

  std::function<void(Task&)> work_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Task>> waiting_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace elbeam::runtime
