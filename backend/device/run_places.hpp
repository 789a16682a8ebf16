// Which sentences of a run have its places, as far as the host knows, which is a step behind.
#pragma once

#include "device/sources.hpp"

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace elbeam::device {

// What a sentence takes: tokens of its source, and steps after which it has ended in any case.
struct SentenceNeeds {
  std::int64_t tokens = 0;
  std::int64_t most_steps = 0;
};

// Sentences begin in their order. They are encoded ahead, as many together as there are places,
// since an encoder's pass over a few costs about what one over many does: half of the tokens are
// for those that are decoded, half for those that wait encoded. Pure.
class RunPlaces {
 public:
  // Where sentences wait there are this many times the tokens of those that are decoded at once.
  static constexpr std::int64_t kRoom = 2;

  // tokens: of all sources. Those of the first `places` sentences lie there, one after another.
  RunPlaces(std::int64_t places, std::int64_t tokens, std::vector<SentenceNeeds> sentences);

  // Whether any sentence has not ended.
  bool left() const noexcept { return busy_ > 0 || !ready_.empty() || waiting() > 0; }
  // A step is launched for so many sentences: few different numbers, as it is captured for each.
  std::int64_t launched() const noexcept;
  // The most steps that a sentence which has not ended has behind it before step `step`.
  std::int64_t longest(std::int64_t step) const noexcept;

  // Where a place is free for which no sentence is ready: those to be encoded next.
  std::vector<SourceAt> to_encode();
  // Gives free places to sentences that are ready and begin in this step.
  std::vector<PlacedSentence> admit(std::int64_t step);
  // Frees the places whose sentences had no rows left behind step `step`, as rows_of [places] says,
  // and those whose last possible step this was.
  std::vector<PlacedSentence> end(std::int64_t step, std::span<const kernels::RowRange> rows_of);
  std::vector<PlacedSentence> end_of_time(std::int64_t step);

 private:
  struct Place {
    bool busy = false;
    SourceAt source{};
    std::int64_t first_step = 0;
  };
  std::int64_t waiting() const noexcept { return ssize(sentences_.size()) - next_; }
  std::vector<SourceAt> taken() const;
  template <typename Has>
  std::vector<PlacedSentence> free(Has has_ended);

  std::vector<SentenceNeeds> sentences_;
  std::vector<Place> places_;
  std::deque<SourceAt> ready_;  // encoded
  std::int64_t tokens_;
  std::int64_t at_once_;        // tokens of places
  std::int64_t in_places_ = 0;  // tokens
  std::int64_t busy_ = 0;       // places
  std::int64_t next_ = 0;       // sentence to be encoded
};

}  // namespace elbeam::device
