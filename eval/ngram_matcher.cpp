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
  std::uint32_t largest = 0;
  for (const std::uint32_t id : reference_grams_) largest = std::max(largest, id);
  if (largest >= words_.size()) words_.resize(std::max<std::size_t>(256, std::size_t{largest} * 2));
  Word* const words = words_.data();
  for (const Ids reference : references) {
    const std::uint32_t epoch = ++epoch_;
    for (const std::uint32_t id : reference) {
      Word& word = words[id];
      const std::uint32_t highest = word.epoch > before ? word.highest : 0;
      const std::uint32_t count = word.epoch == epoch ? word.count + 1 : 1;
      word = {epoch, std::max(highest, count), count};
    }
  }
  bool any = false;
  std::int64_t found = 0;
  for (std::uint32_t& gram : hypothesis_grams_) {
    if (gram > largest || words[gram].epoch <= before) {
      gram = PairIds::kNone;
      continue;
    }
    any = true;
    std::uint32_t& left = words[gram].highest;
    const std::uint32_t one = left > 0 ? 1 : 0;
    left -= one;
    found += one;
  }
  matches = found;
  return any;
}

bool NgramMatcher::match_order(std::size_t order, Ids hypothesis, std::span<const Ids> references,
                               std::int64_t& matches) {
  if (hypothesis.size() < order) return false;
  grams_.clear(reference_grams_.size());
  highest_.assign(reference_grams_.size(), 0);
  std::uint32_t* before = reference_grams_.data();
  for (const Ids reference : references) {
    if (references.size() > 1) count_.assign(grams_.size() + reference.size(), 0);
    for (std::size_t i = 0; i + order <= reference.size(); ++i) {
      const std::uint32_t gram = grams_.find_or_add(before[i], reference[i + order - 1]);
      before[i] = gram;
      if (references.size() == 1) {
        ++highest_[gram];
      } else {
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
    const std::uint32_t one = highest_[gram] > 0 ? 1 : 0;
    highest_[gram] -= one;
    matches += one;
  }
  return any;
}

}  // namespace elbeam::eval
