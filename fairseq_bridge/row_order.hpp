// The order of the rows of a batch in fairseq's collater, which is the order of its output lines.
#pragma once

#include <cstdint>
#include <vector>

namespace elbeam::fairseq {

// The permutation of `src_lengths.sort(descending=True)` (language_pair_dataset.collate). torch's
// sort is not stable from 17 rows on; below 32,768 rows it is std::sort of libstdc++, whatever the
// instruction set (docs/decisions/row-order.md says how this was found out). With another standard
// library sentences of equal length may come in another order.
std::vector<std::int64_t> sort_rows_descending(const std::vector<std::int64_t>& lengths);

}  // namespace elbeam::fairseq
