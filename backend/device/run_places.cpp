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
      at_once_(places < ssize(sentences_.size()) ? tokens / kRoom : tokens) {
  std::int64_t first_token = 0;
  for (; next_ < std::min(places, ssize(sentences_.size())); ++next_) {
    ready_.push_back({next_, first_token, sentences_[usize(next_)].tokens});
    first_token += ready_.back().tokens;
  }
  ELBEAM_INVARIANT(first_token <= at_once_);
  for (const SentenceNeeds& needs : sentences_) ELBEAM_INVARIANT(needs.tokens <= at_once_);
}

std::int64_t RunPlaces::launched() const noexcept {
  const std::int64_t places = ssize(places_.size());
  const std::int64_t unit = (places + kBuckets - 1) / kBuckets;
  return std::min(places, (busy_ + unit - 1) / unit * unit);
}

std::int64_t RunPlaces::longest(std::int64_t step) const noexcept {
  std::int64_t most = 0;
  for (const Place& place : places_) {
    if (place.busy) most = std::max(most, step - place.first_step);
  }
  return most;
}

// In the order of their tokens, and the end of all tokens.
std::vector<SourceAt> RunPlaces::taken() const {
  std::vector<SourceAt> all(ready_.begin(), ready_.end());
  for (const Place& place : places_) {
    if (place.busy) all.push_back(place.source);
  }
  all.push_back({0, tokens_, 0});
  std::sort(all.begin(), all.end(),
            [](const SourceAt& a, const SourceAt& b) { return a.first_token < b.first_token; });
  return all;
}

std::vector<SourceAt> RunPlaces::to_encode() {
  std::vector<SourceAt> next;
  if (!ready_.empty() || busy_ == ssize(places_.size()) || waiting() == 0) return next;
  // Each gets the first gap that is large enough.
  std::vector<SourceAt> others = taken();
  while (waiting() > 0 && next.size() < places_.size()) {
    const std::int64_t needed = sentences_[usize(next_)].tokens;
    std::int64_t from = 0;
    auto behind = others.begin();
    for (; behind != others.end() && behind->first_token - from < needed; ++behind)
      from = std::max(from, behind->first_token + behind->tokens);
    if (behind == others.end()) break;
    next.push_back({next_++, from, needed});
    others.insert(behind, next.back());
  }
  ready_.insert(ready_.end(), next.begin(), next.end());
  return next;
}

std::vector<PlacedSentence> RunPlaces::admit(std::int64_t step) {
  std::vector<PlacedSentence> admitted;
  for (std::size_t p = 0; p < places_.size() && !ready_.empty(); ++p) {
    if (places_[p].busy) continue;
    if (in_places_ + ready_.front().tokens > at_once_) break;
    places_[p] = {true, ready_.front(), step};
    admitted.push_back({ready_.front(), static_cast<std::int64_t>(p)});
    in_places_ += ready_.front().tokens;
    ++busy_;
    ready_.pop_front();
  }
  return admitted;
}

template <typename Has>
std::vector<PlacedSentence> RunPlaces::free(Has has_ended) {
  std::vector<PlacedSentence> ended;
  for (std::size_t p = 0; p < places_.size(); ++p) {
    Place& place = places_[p];
    if (!place.busy || !has_ended(p, place)) continue;
    ended.push_back({place.source, static_cast<std::int64_t>(p)});
    place.busy = false;
    in_places_ -= place.source.tokens;
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
    return step + 1 - place.first_step >= sentences_[usize(place.source.sentence)].most_steps;
  });
}

}  // namespace elbeam::device
