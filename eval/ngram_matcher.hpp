// Clipped n-gram matches of all orders at once: the inner loop of BLEU, chrF and ROUGE-N.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::eval {

// A map from pairs of ids to dense ids, emptied in constant time. Not thread-safe.
class PairIds {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;

  void clear(std::size_t expected_pairs);
  std::uint32_t find(std::uint32_t first, std::uint32_t second) const noexcept {
    const Slot& slot = slots_[slot_of(std::uint64_t{first} << 32 | second)];
    return slot.epoch == epoch_ ? slot.id : kNone;
  }
  // New ones count up from 0. No branch depends on whether a pair is new.
  std::uint32_t find_or_add(std::uint32_t first, std::uint32_t second) {
    const std::uint64_t key = std::uint64_t{first} << 32 | second;
    Slot& slot = slots_[slot_of(key)];
    const bool fresh = slot.epoch != epoch_;
    slot = {key, fresh ? size_ : slot.id, epoch_};
    size_ += fresh ? 1 : 0;
    return slot.id;
  }
  std::uint32_t size() const noexcept { return size_; }

 private:
  struct Slot {
    std::uint64_t key = 0;
    std::uint32_t id = 0;
    std::uint32_t epoch = 0;  // another than epoch_: the slot is empty
  };

  std::size_t slot_of(std::uint64_t key) const noexcept {
    std::uint64_t hash = key * 0x9e3779b97f4a7c15ULL;
    hash ^= hash >> 32;
    std::uint64_t slot = hash & mask_;
    while (slots_[slot].epoch == epoch_ && slots_[slot].key != key) slot = (slot + 1) & mask_;
    return slot;
  }

  std::vector<Slot> slots_;
  std::uint64_t mask_ = 0;
  std::uint32_t epoch_ = 0;
  std::uint32_t size_ = 0;
};

// Keeps its memory from call to call. Not thread-safe.
class NgramMatcher {
 public:
  // Of words or characters: numbers that begin near 0, for there is a table of all up to the
  // largest.
  using Ids = std::span<const std::uint32_t>;

  // matches[n - 1] = sum over the n-grams of `hypothesis` of min(its count there, its highest count
  // in one of the references), for n = 1 ... matches.size().
  void match(Ids hypothesis, std::span<const Ids> references, std::span<std::int64_t> matches);

 private:
  struct Word {
    std::uint32_t epoch = 0;    // of the last reference that has it
    std::uint32_t highest = 0;  // its highest count in one of them
    std::uint32_t count = 0;    // in that last one
  };

  bool match_words(std::span<const Ids> references, std::int64_t& matches);
  bool match_order(std::size_t order, Ids hypothesis, std::span<const Ids> references,
                   std::int64_t& matches);

  std::vector<Word> words_;
  std::uint32_t epoch_ = 0;  // of words_
  PairIds grams_;
  // For each position the id, among the grams of the order before, of the one that begins there.
  std::vector<std::uint32_t> hypothesis_grams_;
  std::vector<std::uint32_t> reference_grams_;  // those of all references, one after the other
  std::vector<std::uint32_t> highest_;          // of each gram: its count in the references
  std::vector<std::uint32_t> count_;            // the same in the reference at hand
};

}  // namespace elbeam::eval
