#include "fairseq_bridge/inference_dataset.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/batching.hpp"

#include <numeric>
#include <utility>

namespace elbeam::fairseq {

InferenceDataset::InferenceDataset(std::vector<Line> lines, InferenceOrder order)
    : lines_(std::move(lines)), order_(order) {}

std::int64_t InferenceDataset::size() const noexcept { return ssize(lines_.size()); }

std::int64_t InferenceDataset::source_size(std::int64_t index) const {
  return lines_[usize(index)].size;
}

std::int64_t InferenceDataset::target_size(std::int64_t) const { return 0; }

std::vector<std::int64_t> InferenceDataset::source(std::int64_t index) const {
  return lines_[usize(index)].sample;
}

std::vector<std::int64_t> InferenceDataset::target(std::int64_t) const {
  fail(ErrorCode::kInternal, "lines to translate have no targets");
}

std::string InferenceDataset::source_text(std::int64_t index) const {
  return lines_[usize(index)].words;
}

std::string InferenceDataset::target_text(std::int64_t) const {
  fail(ErrorCode::kInternal, "lines to translate have no targets");
}

std::vector<std::int64_t> InferenceDataset::ordered_indices(std::uint32_t seed) const {
  if (order_ == InferenceOrder::kByLength) return pair_order(*this, /*shuffle=*/true, seed);
  std::vector<std::int64_t> indices(lines_.size());
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  return indices;
}

}  // namespace elbeam::fairseq
