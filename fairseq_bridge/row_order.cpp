#include "fairseq_bridge/row_order.hpp"

#include "base/checked_math.hpp"

#include <algorithm>
#include <numeric>

namespace elbeam::fairseq {

std::vector<std::int64_t> sort_rows_descending(const std::vector<std::int64_t>& lengths) {
  std::vector<std::int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  // Not std::stable_sort: where equal rows end up is part of fairseq's output.
  std::sort(order.begin(), order.end(),
            [&](std::int64_t a, std::int64_t b) { return lengths[usize(a)] > lengths[usize(b)]; });
  return order;
}

}  // namespace elbeam::fairseq
