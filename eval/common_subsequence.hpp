// Longest common subsequences, as ROUGE-L and ROUGE-W use them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::eval {

using WordSpan = std::span<const std::uint32_t>;

// Its length. Time O(|a| |b|), memory O(|b|).
std::int64_t common_subsequence_length(WordSpan a, WordSpan b);

// Sets hits[i] for the words of `reference` that are in one longest common subsequence with
// `candidate`: the one that the walk back from the ends finds which drops a reference word where
// both are as good (what rouge-score and ROUGE-1.5.5 do). hits has reference.size() elements; those
// set before stay set.
void mark_common_subsequence(WordSpan reference, WordSpan candidate, std::vector<char>& hits);

// The same for the weighted subsequences of ROUGE-W, where a run of n words counts n^weight.
void mark_weighted_subsequence(WordSpan reference, WordSpan candidate, double weight,
                               std::vector<char>& hits);

}  // namespace elbeam::eval
