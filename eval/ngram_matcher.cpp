#include "eval/ngram_matcher.hpp"

#include <algorithm>
#include <bit>

namespace elbeam::eval {

void PairIds::clear(std::size_t expected_pairs) {
  const std::size_t wanted = std::bit_ceil(expected_pairs * 2 + 16);
  if (wanted > slots_.size() || epoch_ == kNone) {
    slots_.assign(std::max(wanted, slots_.size()), Slot{});
    mask_ = slots_.size() - 1;
    epoch_ = 0;
  }
  ++epoch_;
  size_ = 0;
}

std::size_t PairIds::slot_of(std::uint64_t key) const noexcept {
  std::uint64_t hash = key * 0x9e3779b97f4a7c15ULL;
  hash ^= hash >> 32;
  std::uint64_t slot = hash & mask_;
  while (slots_[slot].epoch == epoch_ && slots_[slot].key != key) slot = (slot + 1) & mask_;
  return slot;
}

std::uint32_t PairIds::find(std::uint32_t first, std::uint32_t second) const noexcept {
  const Slot& slot = slots_[slot_of(std::uint64_t{first} << 32 | second)];
  return slot.epoch == epoch_ ? slot.id : kNone;
}

std::uint32_t PairIds::find_or_add(std::uint32_t first, std::uint32_t second) {
  const std::uint64_t key = std::uint64_t{first} << 32 | second;
  Slot& slot = slots_[slot_of(key)];
  if (slot.epoch == epoch_) return slot.id;
  slot = {key, size_, epoch_};
  return size_++;
}

void NgramMatcher::match(Ids hypothesis, std::span<const Ids> references,
                         std::span<std::int64_t> matches) {
  reference_grams_.clear();
  for (const Ids reference : references) {
    reference_grams_.insert(reference_grams_.end(), reference.begin(), reference.end());
  }
  hypothesis_grams_.assign(hypothesis.begin(), hypothesis.end());
  std::fill(matches.begin(), matches.end(), 0);
  for (std::size_t order = 1; order <= matches.size(); ++order) {
    std::int64_t& found = matches[order - 1];
    const bool any = order == 1 ? match_words(references, found)
                                : match_order(order, hypothesis, references, found);
    if (!any) return;  // no common n-gram, no common longer one
  }
}

// Order 1: a word is its own number, there is nothing to look up.
bool NgramMatcher::match_words(std::span<const Ids> references, std::int64_t& matches) {
  if (references.size() >= PairIds::kNone - epoch_) {
    words_.clear();
    epoch_ = 0;
  }
  const std::uint32_t before = epoch_;  // of this and lesser epochs: not in these references
  for (const Ids reference : references) {
    ++epoch_;
    for (const std::uint32_t id : reference) {
      if (id >= words_.size()) words_.resize(std::max<std::size_t>(256, std::size_t{id} * 2));
      Word& word = words_[id];
      const std::uint32_t highest = word.epoch > before ? word.highest : 0;
      const std::uint32_t count = word.epoch == epoch_ ? word.count + 1 : 1;
      word = {epoch_, std::max(highest, count), count};
    }
  }
  bool any = false;
  for (std::uint32_t& gram : hypothesis_grams_) {
    if (gram >= words_.size() || words_[gram].epoch <= before) {
      gram = PairIds::kNone;
      continue;
    }
    any = true;
    std::uint32_t& left = words_[gram].highest;
    if (left == 0) continue;
    --left;
    ++matches;
  }
  return any;
}

bool NgramMatcher::match_order(std::size_t order, Ids hypothesis, std::span<const Ids> references,
                               std::int64_t& matches) {
  if (hypothesis.size() < order) return false;
  grams_.clear(reference_grams_.size());
  highest_.clear();
  std::uint32_t* before = reference_grams_.data();
  for (const Ids reference : references) {
    count_.assign(references.size() > 1 ? highest_.size() : 0, 0);
    for (std::size_t i = 0; i + order <= reference.size(); ++i) {
      const std::uint32_t gram = grams_.find_or_add(before[i], reference[i + order - 1]);
      before[i] = gram;
      if (gram == highest_.size()) highest_.push_back(0);
      if (references.size() == 1) {
        ++highest_[gram];
      } else {
        if (gram >= count_.size()) count_.resize(gram + 1, 0);
        highest_[gram] = std::max(highest_[gram], ++count_[gram]);
      }
    }
    before += reference.size();
  }
  bool any = false;
  for (std::size_t i = 0; i + order <= hypothesis.size(); ++i) {
    std::uint32_t& gram = hypothesis_grams_[i];
    // Both halves that overlap must be there; the second has not been replaced yet.
    if (hypothesis_grams_[i + 1] == PairIds::kNone) gram = PairIds::kNone;
    if (gram == PairIds::kNone) continue;
    gram = grams_.find(gram, hypothesis[i + order - 1]);
    if (gram == PairIds::kNone) continue;
    any = true;
    if (highest_[gram] > 0) {
      --highest_[gram];
      ++matches;
    }
  }
  return any;
}

}  // namespace elbeam::eval
