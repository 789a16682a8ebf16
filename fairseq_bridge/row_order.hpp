// The order of the rows of a batch in fairseq's collater, which is the order of its output lines.
#pragma once

#include <cstdint>
#include <vector>

namespace elbeam::fairseq {

// The permutation of `src_lengths.sort(descending=True)` (language_pair_dataset.collate): torch's
// sort, which is not stable from 17 rows on and depends on the CPU's instruction set. Built without
// LibTorch it is a stable sort, and sentences of equal length may come in another order.
std::vector<std::int64_t> sort_rows_descending(const std::vector<std::int64_t>& lengths);

}  // namespace elbeam::fairseq
