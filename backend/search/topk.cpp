#include "search/topk.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>
#include <cmath>

namespace elbeam::search {
namespace {

// Order of at::topk with largest=True.
struct Better {
  bool operator()(const ScoredIndex& x, const ScoredIndex& y) const noexcept {
    return (std::isnan(x.score) && !std::isnan(y.score)) || x.score > y.score;
  }
};

// Whether any of kBoundWidth values could come before a value of `limit`: "not <=" is true for NaN
// too. So many are enough for the compiler to use whole vector registers, and few enough that
// looking again at a block with a hit costs nothing.
bool block_has_better(const float* values, float offset, float limit) noexcept {
  int any = 0;
  for (std::int64_t i = 0; i < kBoundWidth; ++i) {
    any |= static_cast<int>(!(values[i] + offset <= limit));
  }
  return any != 0;
}

// The heap of std::partial_sort: the k best so far, the worst of them in front, and one place more
// for the value that comes in.
class BestHeap {
 public:
  BestHeap(std::vector<ScoredIndex>& elements, std::int64_t k) : elements_(elements), k_(k) {}

  // Takes the k values that are in `elements` already.
  void build() { std::make_heap(elements_.begin(), end(), Better{}); }

  float limit() const noexcept { return elements_.front().score; }

  void offer(const ScoredIndex& candidate) {
    if (!Better{}(candidate, elements_.front())) return;
    // pop_heap moves the front to the last place and sifts what was there into the heap, which is
    // the replacement that partial_sort makes.
    elements_[usize(k_)] = candidate;
    std::pop_heap(elements_.begin(), end() + 1, Better{});
  }

  void sort() { std::sort_heap(elements_.begin(), end(), Better{}); }

 private:
  std::vector<ScoredIndex>::iterator end() { return elements_.begin() + k_; }

  std::vector<ScoredIndex>& elements_;
  std::int64_t k_;
};

ScoredIndex element(const OffsetRows& input, std::int64_t index) {
  const std::int64_t row = index / input.width;
  const std::int64_t column = index % input.width;
  return {input.values[usize(row * input.stride + column)] + input.offsets[usize(row)], index};
}

// Offers the values of one row from `first` on. Adding the offset keeps the order, rounding
// included: where a bound cannot come in, neither can what lies below it.
void offer_row(const OffsetRows& input, std::int64_t row, std::int64_t first, BestHeap& heap) {
  const float offset = input.offsets[usize(row)];
  const float* values = input.values.data() + row * input.stride;
  const float* bounds =
      input.bounds.empty() ? nullptr : input.bounds.data() + row * bound_count(input.width);
  for (std::int64_t i = first; i < input.width;) {
    const std::int64_t block = i / kBoundWidth;
    const std::int64_t end = std::min((block + 1) * kBoundWidth, input.width);
    const bool whole = end - i == kBoundWidth;
    const bool hit = bounds != nullptr
                         ? !(bounds[block] + offset <= heap.limit())
                         : !whole || block_has_better(values + i, offset, heap.limit());
    for (; hit && i < end; ++i) heap.offer({values[i] + offset, row * input.width + i});
    i = end;
  }
}

void select_by_heap(const OffsetRows& input, std::int64_t k, std::vector<ScoredIndex>& workspace) {
  workspace.resize(usize(k + 1));
  for (std::int64_t i = 0; i < k; ++i) workspace[usize(i)] = element(input, i);
  BestHeap heap(workspace, k);
  heap.build();
  const std::int64_t rows = ssize(input.offsets.size());
  for (std::int64_t row = k / input.width; row < rows; ++row) {
    offer_row(input, row, row == k / input.width ? k % input.width : 0, heap);
  }
  heap.sort();
}

void select_by_partition(const OffsetRows& input, std::int64_t k,
                         std::vector<ScoredIndex>& workspace) {
  const std::int64_t total = ssize(input.offsets.size()) * input.width;
  workspace.resize(usize(total));
  for (std::int64_t i = 0; i < total; ++i) workspace[usize(i)] = element(input, i);
  const auto last = workspace.begin() + (k - 1);
  std::nth_element(workspace.begin(), last, workspace.end(), Better{});
  std::sort(workspace.begin(), last, Better{});
}

}  // namespace

std::span<const ScoredIndex> topk(const OffsetRows& input, std::int64_t k,
                                  std::vector<ScoredIndex>& workspace) {
  const std::int64_t rows = ssize(input.offsets.size());
  const std::int64_t total = rows * input.width;
  ELBEAM_INVARIANT(k >= 1 && k <= total && input.width > 0 && input.stride >= input.width);
  ELBEAM_INVARIANT(ssize(input.values.size()) >= (rows - 1) * input.stride + input.width);
  ELBEAM_INVARIANT(input.bounds.empty() ||
                   ssize(input.bounds.size()) >= rows * bound_count(input.width));
  if (k <= total / 64) {
    select_by_heap(input, k, workspace);
  } else {
    select_by_partition(input, k, workspace);
  }
  return std::span<const ScoredIndex>(workspace).first(usize(k));
}

}  // namespace elbeam::search
