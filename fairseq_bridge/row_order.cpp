#include "fairseq_bridge/row_order.hpp"

#ifdef ELBEAM_WITH_TORCH

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/sort.h>

namespace elbeam::fairseq {

std::vector<std::int64_t> sort_rows_descending(const std::vector<std::int64_t>& lengths) {
  if (lengths.empty()) return {};
  // sort() only reads its input; from_blob has no const form.
  const at::Tensor tensor =
      at::from_blob(const_cast<std::int64_t*>(lengths.data()),
                    {static_cast<std::int64_t>(lengths.size())}, at::TensorOptions(at::kLong));
  const at::Tensor order = std::get<1>(at::sort(tensor, /*dim=*/-1, /*descending=*/true));
  const std::int64_t* begin = order.const_data_ptr<std::int64_t>();
  return {begin, begin + order.numel()};
}

}  // namespace elbeam::fairseq

#else

#include "base/checked_math.hpp"

#include <algorithm>
#include <numeric>

namespace elbeam::fairseq {

std::vector<std::int64_t> sort_rows_descending(const std::vector<std::int64_t>& lengths) {
  std::vector<std::int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return lengths[usize(a)] > lengths[usize(b)];
  });
  return order;
}

}  // namespace elbeam::fairseq

#endif
