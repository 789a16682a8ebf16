#include "attention/self_cache.hpp"

#include "base/check.hpp"

#include <algorithm>

namespace elbeam::attention {

template <typename T>
SelfCache<T>::SelfCache(std::int64_t layers, std::int64_t layer_width, std::int64_t max_rows)
    : layers_(layers), layer_width_(layer_width), max_rows_(max_rows) {}

template <typename T>
void SelfCache<T>::begin_step(std::span<const std::int64_t> parents) {
  const std::int64_t rows = ssize(parents.size());
  ELBEAM_INVARIANT(rows > 0 && rows <= max_rows_);
  if (steps_ % kPageSteps == 0) {
    // The first page serves one row a sentence in step 0 and all beams after it.
    const std::int64_t page_rows = steps_ == 0 ? max_rows_ : rows;
    Page page;
    page.rows = page_rows;
    page.data.reserve(
        checked_mul(checked_mul(page_rows, kPageSteps), checked_mul(layers_, layer_width_)));
    pages_.push_back(std::move(page));
    const std::int64_t capacity = capacity_ + kPageSteps;
    std::vector<std::int32_t> wider(usize(checked_mul(max_rows_, capacity)));
    for (std::int64_t r = 0; r < rows_; ++r) {
      std::copy_n(ancestors_.begin() + r * capacity_, steps_, wider.begin() + r * capacity);
    }
    ancestors_.swap(wider);
    next_ancestors_.assign(ancestors_.size(), 0);
    history_.resize(ancestors_.size());
    capacity_ = capacity;
  }
  ELBEAM_INVARIANT(rows <= pages_.back().rows);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int32_t* next = next_ancestors_.data() + r * capacity_;
    if (steps_ > 0) {
      const std::int64_t parent = parents[usize(r)];
      ELBEAM_INVARIANT(parent >= 0 && parent < rows_);
      std::copy_n(ancestors_.begin() + parent * capacity_, steps_, next);
    }
    next[steps_] = static_cast<std::int32_t>(r);
  }
  ancestors_.swap(next_ancestors_);
  ++steps_;
  rows_ = rows;
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int32_t* slots = ancestors_.data() + r * capacity_;
    const T** pointers = history_.data() + r * steps_;
    for (std::int64_t t = 0; t < steps_; ++t) pointers[t] = slot(t, slots[t]);
  }
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
