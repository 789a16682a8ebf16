// at::topk on the CPU, bit for bit: which of several equal values are taken, and in what order, is
// part of fairseq's output.
#pragma once

#include <elbeam/step_model.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::search {

struct ScoredIndex {
  float score = 0.0F;
  std::int64_t index = 0;
};

// A [rows, width] matrix, seen as one array of rows * width values, where offsets[row] is added
// (in float32) to each value of a row. -0.0F adds nothing: it leaves even -0.0F as it is.
struct OffsetRows {
  std::span<const float> values;   // row r is [r * stride, r * stride + width)
  std::span<const float> offsets;  // [rows]
  std::int64_t width = 0;
  std::int64_t stride = width;  // >= width
  // Empty, or [rows * bound_count(width)]: no value of a row's i-th kBoundWidth values is above its
  // i-th bound, unless that is NaN. Saves looking at values that cannot be among the best.
  std::span<const float> bounds{};
};

// Writes the k largest values, largest first, and their places in the flattened array into
// `workspace`, which the result points into: it is valid until the next call. NaN counts as the
// largest value. 1 <= k <= rows * width. Allocates only while the workspace grows to
// max(k + 1, 64 * k) elements at most.
//
// Source: aten/src/ATen/native/TopKImpl.h of torch 2.11 (partial_sort where 64 k <= n, else
// nth_element and sort). The order of ties is that of libstdc++'s algorithms, which both use.
std::span<const ScoredIndex> topk(const OffsetRows& input, std::int64_t k,
                                  std::vector<ScoredIndex>& workspace);

}  // namespace elbeam::search
