// The merge operations of a byte-pair encoding, applied to one word.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace elbeam::text {

// Filled once, then immutable; const access from any thread.
class MergeTable {
 public:
  // What to do with a pair that comes a second time.
  enum class Duplicate { kFirstWins, kLastWins };

  // The pair whose turn is after those added before. Returns false for a pair seen before. Neither
  // side is empty.
  bool add(std::string_view first, std::string_view second, Duplicate duplicate);

  // `word` cut at `ends` (rising byte offsets; the last one is the word's length) into symbols;
  // returns the ends of the symbols that are left after every merge. As in subword_nmt, GPT-2 and
  // fastBPE: the pair of the lowest rank in the word is merged wherever it stands, from the left,
  // and so on until no pair is known. O(n log n) in the symbols of the word.
  std::vector<std::size_t> merge(std::string_view word, const std::vector<std::size_t>& ends) const;

 private:
  struct Merge {
    std::int64_t rank;
    std::int32_t result;  // symbol that the pair becomes
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  friend class WordMerger;

  std::int32_t symbol_id(std::string_view symbol);
  std::int32_t find_symbol(std::string_view symbol) const;  // -1: in no pair
  const Merge* find(std::int32_t first, std::int32_t second) const;

  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> symbols_;
  std::unordered_map<std::uint64_t, Merge> merges_;
  std::int64_t next_rank_ = 0;
};

}  // namespace elbeam::text
