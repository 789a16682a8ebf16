#include "text/merge_table.hpp"

#include "base/checked_math.hpp"

#include <algorithm>
#include <queue>
#include <tuple>

namespace elbeam::text {
namespace {

std::uint64_t pair_key(std::int32_t first, std::int32_t second) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(first)) << 32) |
         static_cast<std::uint32_t>(second);
}

}  // namespace

// The symbols of a word as a linked list, and the known pairs of neighbours in a heap.
class WordMerger {
 public:
  WordMerger(const MergeTable& table, std::string_view word, const std::vector<std::size_t>& ends)
      : table_(table) {
    std::size_t begin = 0;
    for (const std::size_t end : ends) {
      const std::int64_t place = ssize(symbols_.size());
      symbols_.push_back(
          {table.find_symbol(word.substr(begin, end - begin)), end, place - 1, place + 1, 0});
      begin = end;
    }
    for (std::int64_t i = 0; i + 1 < ssize(symbols_.size()); ++i) offer(i);
  }

  std::vector<std::size_t> run() {
    while (!offers_.empty()) merge_everywhere(offers_.top().rank);
    std::vector<std::size_t> ends;
    for (std::int64_t i = 0; i < ssize(symbols_.size()); i = symbols_[usize(i)].next) {
      ends.push_back(symbols_[usize(i)].end);
    }
    return ends;
  }

 private:
  struct Symbol {
    std::int32_t id;
    std::size_t end;
    std::int64_t previous;
    std::int64_t next;
    std::int64_t version;  // -1: swallowed by the symbol before; else counts the changes
  };
  // A pair: the symbol at `place` and the one after it, as they were when it was offered.
  struct Offer {
    std::int64_t rank;
    std::int64_t place;
    std::int64_t version;
    std::int64_t next_version;
    std::int32_t result;
    bool operator<(const Offer& other) const {  // the top of the heap is the lowest
      return std::tie(rank, place) > std::tie(other.rank, other.place);
    }
  };

  void offer(std::int64_t place) {
    const Symbol& symbol = symbols_[usize(place)];
    if (symbol.next >= ssize(symbols_.size())) return;
    const Symbol& next = symbols_[usize(symbol.next)];
    if (const auto* merge = table_.find(symbol.id, next.id)) {
      offers_.push({merge->rank, place, symbol.version, next.version, merge->result});
    }
  }

  bool still_holds(const Offer& offer) const {
    const Symbol& symbol = symbols_[usize(offer.place)];
    return symbol.version == offer.version && symbol.next < ssize(symbols_.size()) &&
           symbols_[usize(symbol.next)].version == offer.next_version;
  }

  // One round: every place of the pair, from the left. What the merges bring together is offered
  // only afterwards, because it must not come before the rest of the round.
  void merge_everywhere(std::int64_t rank) {
    std::vector<std::int64_t> merged;
    while (!offers_.empty() && offers_.top().rank == rank) {
      const Offer offer = offers_.top();
      offers_.pop();
      if (!still_holds(offer)) continue;
      Symbol& symbol = symbols_[usize(offer.place)];
      Symbol& swallowed = symbols_[usize(symbol.next)];
      symbol.id = offer.result;
      symbol.end = swallowed.end;
      ++symbol.version;
      symbol.next = swallowed.next;
      swallowed.version = -1;
      if (symbol.next < ssize(symbols_.size())) symbols_[usize(symbol.next)].previous = offer.place;
      merged.push_back(offer.place);
    }
    for (const std::int64_t place : merged) {
      const std::int64_t previous = symbols_[usize(place)].previous;
      // Where the symbol before was merged too, it offers this pair itself.
      if (previous >= 0 && !std::binary_search(merged.begin(), merged.end(), previous)) {
        offer(previous);
      }
      offer(place);
    }
  }

  const MergeTable& table_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Offer> offers_;
};

bool MergeTable::add(std::string_view first, std::string_view second, Duplicate duplicate) {
  const std::int32_t first_id = symbol_id(first);
  const std::int32_t second_id = symbol_id(second);
  const std::int32_t result = symbol_id(std::string(first).append(second));
  const Merge merge{next_rank_++, result};
  const auto [found, is_new] = merges_.try_emplace(pair_key(first_id, second_id), merge);
  if (!is_new && duplicate == Duplicate::kLastWins) found->second = merge;
  return is_new;
}

std::vector<std::size_t> MergeTable::merge(std::string_view word,
                                           const std::vector<std::size_t>& ends) const {
  return WordMerger(*this, word, ends).run();
}

std::int32_t MergeTable::symbol_id(std::string_view symbol) {
  const auto found = symbols_.find(symbol);
  if (found != symbols_.end()) return found->second;
  const std::int32_t id = narrow<std::int32_t>(symbols_.size());
  symbols_.emplace(std::string(symbol), id);
  return id;
}

std::int32_t MergeTable::find_symbol(std::string_view symbol) const {
  const auto found = symbols_.find(symbol);
  return found == symbols_.end() ? -1 : found->second;
}

const MergeTable::Merge* MergeTable::find(std::int32_t first, std::int32_t second) const {
  if (first < 0 || second < 0) return nullptr;
  const auto found = merges_.find(pair_key(first, second));
  return found == merges_.end() ? nullptr : &found->second;
}

}  // namespace elbeam::text
