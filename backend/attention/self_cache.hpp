// The decoder's self-attention cache: pages of slots, and a table of ancestors instead of copies.
#pragma once

#include "base/aligned_buffer.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::attention {

// A row of step t writes one slot; a slot holds, for each layer, `layer_width` numbers (keys and
// values, or for EL-attention the hidden state alone). A beam reorder never moves a slot: row r
// keeps the list of slots that its history went through, slots[t] for t = 0 .. steps-1, and a
// reorder copies that list, 4 bytes a step. Pages hold kPageSteps steps and are sized by the rows
// that are live when they are opened, so that the cache shrinks as sentences finish; a step with
// more rows than the last page was opened for (a prompt that has one row a sentence fans out into
// beams) opens a new one. Not thread-safe.
template <typename T>
class SelfCache {
 public:
  static constexpr std::int64_t kPageSteps = 16;

  // max_rows bounds the rows of any step.
  SelfCache(std::int64_t layers, std::int64_t layer_width, std::int64_t max_rows);

  // Opens step t = steps(): row r continues row parents[r] of the previous step. In step 0 the
  // parents' values are ignored. Throws Error(kOutOfMemory).
  void begin_step(std::span<const std::int64_t> parents);

  // Opens `count` steps of `rows` rows at once, as that many calls of begin_step() would in which
  // each row continues itself. All of them may be written; history() shows the last.
  void begin_steps(std::int64_t count, std::int64_t rows);

  std::int64_t steps() const noexcept { return steps_; }
  std::int64_t rows() const noexcept { return rows_; }

  // Where row r of the current step writes its numbers of a layer.
  T* current(std::int64_t row, std::int64_t layer) noexcept { return at(steps_ - 1, row, layer); }
  // The same for a step that was opened by begin_steps().
  T* at(std::int64_t step, std::int64_t row, std::int64_t layer) noexcept {
    return slot(step, row) + layer * layer_width_;
  }
  // [steps()] layer 0 of each slot in row r's history, the current step last. Add layer_offset().
  const T* const* history(std::int64_t row) const noexcept {
    return history_.data() + row * steps_;
  }
  std::int64_t layer_offset(std::int64_t layer) const noexcept { return layer * layer_width_; }

  std::int64_t bytes() const noexcept;  // of all pages

 private:
  struct Page {
    AlignedBuffer<T> data;
    std::int64_t rows = 0;
    std::int64_t first_step = 0;
  };

  T* slot(std::int64_t step, std::int64_t row) noexcept {
    return step_slots_[usize(step)] + row * layers_ * layer_width_;
  }
  void open_step(std::int64_t rows, std::int64_t page_rows);
  void reserve_tables(std::int64_t steps);
  void point_history();

  std::int64_t layers_;
  std::int64_t layer_width_;
  std::int64_t max_rows_;
  std::int64_t steps_ = 0;
  std::int64_t rows_ = 0;
  std::int64_t capacity_ = 0;  // steps that one row of the tables has room for
  std::vector<Page> pages_;
  std::vector<T*> step_slots_;           // [steps] slot 0 of each step
  std::vector<std::int32_t> ancestors_;  // [rows, capacity_] slot number of each step
  std::vector<std::int32_t> next_ancestors_;
  std::vector<const T*> history_;  // [rows, steps]
};

}  // namespace elbeam::attention
