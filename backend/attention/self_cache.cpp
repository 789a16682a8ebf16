#include "attention/self_cache.hpp"

#include "base/check.hpp"

#include <algorithm>

namespace elbeam::attention {

template <typename T>
SelfCache<T>::SelfCache(std::int64_t layers, std::int64_t layer_width, std::int64_t max_rows)
    : layers_(layers), layer_width_(layer_width), max_rows_(max_rows) {}

// Finds room for a step of `rows` rows, in a new page of `page_rows` if there is none, and counts
// it.
template <typename T>
void SelfCache<T>::open_step(std::int64_t rows, std::int64_t page_rows) {
  ELBEAM_INVARIANT(rows > 0 && rows <= max_rows_);
  if (pages_.empty() || steps_ - pages_.back().first_step == kPageSteps ||
      rows > pages_.back().rows) {
    Page page;
    page.rows = page_rows;
    page.first_step = steps_;
    page.data.reserve(
        checked_mul(checked_mul(page.rows, kPageSteps), checked_mul(layers_, layer_width_)));
    pages_.push_back(std::move(page));
  }
  const Page& page = pages_.back();
  step_slots_.push_back(pages_.back().data.data() +
                        (steps_ - page.first_step) * page.rows * layers_ * layer_width_);
  ++steps_;
}

// Makes room for `steps` steps in the tables of each row.
template <typename T>
void SelfCache<T>::reserve_tables(std::int64_t steps) {
  if (steps <= capacity_) return;
  const std::int64_t capacity = (steps + kPageSteps - 1) / kPageSteps * kPageSteps;
  std::vector<std::int32_t> wider(usize(checked_mul(max_rows_, capacity)));
  for (std::int64_t r = 0; r < rows_; ++r) {
    std::copy_n(ancestors_.begin() + r * capacity_, steps_, wider.begin() + r * capacity);
  }
  ancestors_.swap(wider);
  next_ancestors_.assign(ancestors_.size(), 0);
  history_.resize(ancestors_.size());
  step_slots_.reserve(usize(capacity));
  capacity_ = capacity;
}

template <typename T>
void SelfCache<T>::point_history() {
  for (std::int64_t r = 0; r < rows_; ++r) {
    const std::int32_t* slots = ancestors_.data() + r * capacity_;
    const T** pointers = history_.data() + r * steps_;
    for (std::int64_t t = 0; t < steps_; ++t) pointers[t] = slot(t, slots[t]);
  }
}

template <typename T>
void SelfCache<T>::begin_step(std::span<const std::int64_t> parents) {
  const std::int64_t rows = ssize(parents.size());
  const std::int64_t before = steps_;
  for (const std::int64_t parent : parents)
    ELBEAM_INVARIANT(before == 0 || (parent >= 0 && parent < rows_));
  reserve_tables(before + 1);
  // The first page serves one row a sentence in step 0 and all beams after it.
  open_step(rows, before == 0 ? max_rows_ : rows);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int32_t* next = next_ancestors_.data() + r * capacity_;
    if (before > 0) std::copy_n(ancestors_.begin() + parents[usize(r)] * capacity_, before, next);
    next[before] = static_cast<std::int32_t>(r);
  }
  ancestors_.swap(next_ancestors_);
  rows_ = rows;
  point_history();
}

template <typename T>
void SelfCache<T>::begin_steps(std::int64_t count, std::int64_t rows) {
  ELBEAM_INVARIANT(steps_ == 0 && count > 0);
  reserve_tables(count);
  for (std::int64_t t = 0; t < count; ++t) {
    open_step(rows, rows);
    for (std::int64_t r = 0; r < rows; ++r) {
      ancestors_[usize(r * capacity_ + t)] = static_cast<std::int32_t>(r);
    }
  }
  rows_ = rows;
  point_history();
}

template <typename T>
std::int64_t SelfCache<T>::bytes() const noexcept {
  std::int64_t total = 0;
  for (const Page& page : pages_) total += page.data.bytes();
  return total;
}

template class SelfCache<float>;
template class SelfCache<double>;

}  // namespace elbeam::attention
