#include "runtime/workers.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>
#include <numeric>

namespace elbeam::runtime {

std::vector<std::int64_t> Task::all() const {
  std::vector<std::int64_t> members(usize(group.size()));
  std::iota(members.begin(), members.end(), 0);
  return members;
}

std::vector<std::int64_t> Task::left(std::span<const std::int64_t> members) const {
  std::vector<std::int64_t> unknown;
  for (const std::int64_t i : members) {
    if (!known[usize(i)]) unknown.push_back(i);
  }
  return unknown;
}

std::string Task::where() const {
  constexpr std::size_t kNamed = 12;
  const std::vector<std::int64_t> unknown = left(all());
  if (unknown.empty()) return {};
  const std::int64_t first = group.places[usize(unknown.front())].batch;
  const std::int64_t last = group.places[usize(unknown.back())].batch;
  std::string text =
      first == last ? concat(" (batch ", first) : concat(" (batches ", first, " to ", last);
  const std::vector<std::int64_t>& ids = group.request.sentence_ids;
  if (ids.empty()) return text + ")";
  for (std::size_t i = 0; i < std::min(unknown.size(), kNamed); ++i)
    text += concat(i == 0 ? ", sentences " : ", ", ids[usize(unknown[i])]);
  if (unknown.size() > kNamed) text += concat(" and ", unknown.size() - kNamed, " more");
  return text + ")";
}

Workers::Workers(int count, std::function<void(Task&)> work) : work_(std::move(work)) {
  for (int i = 0; i < count; ++i) threads_.emplace_back([this] { loop(); });
}

Workers::~Workers() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::give(const std::shared_ptr<Task>& task) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    waiting_.push_back(task);
  }
  wake_.notify_one();
}

void Workers::loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    if (stop_) return;  // what still waits is not wanted any more
    const std::shared_ptr<Task> task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    work_(*task);
    lock.lock();
  }
}

}  // namespace elbeam::runtime
