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
  std::size_t total = 0;
  for (const Ids reference : references) total += reference.size();
  hypothesis_grams_.assign(hypothesis.size(), 0);  // the one gram of order 0
  reference_grams_.assign(total, 0);
  std::fill(matches.begin(), matches.end(), 0);
  for (std::size_t order = 1; order <= matches.size(); ++order) {
    // No common n-gram, no common longer one.
    if (!match_order(order, hypothesis, references, matches[order - 1])) return;
  }
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
