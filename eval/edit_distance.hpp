// Edit distances between sequences of words, given as numbers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::eval {

using WordSpan = std::span<const std::uint32_t>;

// Levenshtein's: insertions, deletions and substitutions. Time O(|a| |b|), memory O(min).
std::int64_t edit_distance(WordSpan a, WordSpan b);

// Edits of Snover's translation edit rate (moving a run of words is one edit), searched for as
// sacrebleu's lib_ter.py and Tercom do: greedily, at most 1,000 moves tried, distances only near
// the diagonal.
std::int64_t translation_edits(WordSpan hypothesis, WordSpan reference);

}  // namespace elbeam::eval
