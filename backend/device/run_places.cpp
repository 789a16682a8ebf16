#include "device/run_places.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <utility>

namespace elbeam::device {
namespace {

// A step is captured for this many different numbers of sentences at most.
constexpr std::int64_t kBuckets = 8;

}  // namespace

RunPlaces::RunPlaces(std::int64_t places, std::int64_t tokens, std::vector<SentenceNeeds> sentences)
    : sentences_(std::move(sentences)),
      places_(usize(places)),
      tokens_(tokens),
      unit_((places + kBuckets - 1) / kBuckets) {
  for (const SentenceNeeds& needs : sentences_) ELBEAM_INVARIANT(needs.tokens <= tokens_);
}

std::int64_t RunPlaces::launched() const noexcept {
  return std::min(ssize(places_.size()), (busy_ + unit_ - 1) / unit_ * unit_);
}

std::int64_t RunPlaces::longest(std::int64_t step) const noexcept {
  std::int64_t most = 0;
  for (const Place& place : places_) {
    if (place.sentence >= 0) most = std::max(most, step - place.first_step);
  }
  return most;
}

// In their order, and the end of all tokens.
std::vector<RunPlaces::Tokens> RunPlaces::taken() const {
  std::vector<Tokens> all{{tokens_, tokens_}};
  for (const Place& place : places_) {
    if (place.sentence < 0) continue;
    all.push_back(
        {place.first_token, place.first_token + sentences_[usize(place.sentence)].tokens});
  }
  std::sort(all.begin(), all.end(),
            [](const Tokens& a, const Tokens& b) { return a.begin < b.begin; });
  return all;
}

std::vector<PlacedSentence> RunPlaces::admit(std::int64_t step) {
  std::vector<PlacedSentence> admitted;
  if (ssize(places_.size()) - busy_ < std::min(unit_, waiting())) return admitted;
  // Each gets the first gap that is large enough.
  std::vector<Tokens> tokens = taken();
  std::size_t p = 0;
  for (std::int64_t s = next_; s < ssize(sentences_.size()); ++s) {
    while (p < places_.size() && places_[p].sentence >= 0) ++p;
    if (p == places_.size()) break;
    const std::int64_t needed = sentences_[usize(s)].tokens;
    std::int64_t from = 0;
    auto behind = tokens.begin();
    while (behind != tokens.end() && behind->begin - from < needed)
      from = std::max(from, behind++->end);
    if (behind == tokens.end()) break;
    tokens.insert(behind, {from, from + needed});
    admitted.push_back({s, static_cast<std::int64_t>(p++), from});
  }
  if (busy_ > 0 && ssize(admitted.size()) < std::min(unit_, waiting())) return {};
  for (const PlacedSentence& placed : admitted)
    places_[usize(placed.place)] = {placed.sentence, step, placed.first_token};
  busy_ += ssize(admitted.size());
  next_ += ssize(admitted.size());
  return admitted;
}

template <typename Has>
std::vector<PlacedSentence> RunPlaces::free(Has has_ended) {
  std::vector<PlacedSentence> ended;
  for (std::size_t p = 0; p < places_.size(); ++p) {
    Place& place = places_[p];
    if (place.sentence < 0 || !has_ended(p, place)) continue;
    ended.push_back({place.sentence, static_cast<std::int64_t>(p), place.first_token});
    place.sentence = -1;
    --busy_;
  }
  return ended;
}

std::vector<PlacedSentence> RunPlaces::end(std::int64_t step,
                                           std::span<const kernels::RowRange> rows_of) {
  return free([&](std::size_t p, const Place& place) {
    return place.first_step <= step && rows_of[p].count == 0;  // not of the sentence before it
  });
}

std::vector<PlacedSentence> RunPlaces::end_of_time(std::int64_t step) {
  return free([&](std::size_t, const Place& place) {
    return step + 1 - place.first_step >= sentences_[usize(place.sentence)].most_steps;
  });
}

}  // namespace elbeam::device
