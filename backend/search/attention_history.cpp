#include "search/attention_history.hpp"

#include "base/checked_math.hpp"

#include <algorithm>

namespace elbeam::search {

std::span<float> AttentionHistory::add_step(std::int64_t rows) {
  const std::size_t begin = values_.size();
  step_begin_ = width_ == 0 ? 0 : ssize(begin) / width_;
  values_.resize(begin + usize(checked_mul(rows, width_)));
  return std::span(values_).subspan(begin);
}

std::vector<std::vector<float>> AttentionHistory::columns(const Ancestry& ancestry,
                                                          Ancestry::Node node,
                                                          std::int64_t model_row,
                                                          std::int64_t source_length) const {
  std::vector<std::vector<float>> columns;
  const auto add = [&](std::int64_t row) {
    const float* values = values_.data() + row * width_;
    columns.emplace_back(values, values + source_length);
  };
  add(step_begin_ + model_row);
  for (; node != Ancestry::kRoot; node = ancestry.parent(node)) add(node_rows_[usize(node)]);
  std::reverse(columns.begin(), columns.end());
  return columns;
}

}  // namespace elbeam::search
