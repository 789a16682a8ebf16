// Which sentences of a run have its places, as far as the host knows, which is some steps behind.
#pragma once

#include "device/sources.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::device {

// What a sentence takes: tokens of its source, and steps after which it has ended in any case.
struct SentenceNeeds {
  std::int64_t tokens = 0;
  std::int64_t most_steps = 0;
};

// Sentences begin in their order, as soon as there are a place and so many tokens next to each
// other for them; but not one by one, which would not be worth an encoder's pass: as many as make a
// step smaller, or as many as wait. Pure.
class RunPlaces {
 public:
  // Throws nothing; `tokens` are those of all places, not below what any sentence needs.
  RunPlaces(std::int64_t places, std::int64_t tokens, std::vector<SentenceNeeds> sentences);

  // Whether any sentence has not ended.
  bool left() const noexcept { return busy_ > 0 || waiting() > 0; }
  // A step is launched for so many sentences: few different numbers, as it is captured for each.
  std::int64_t launched() const noexcept;
  // The most steps that a sentence which has not ended has behind it before step `step`.
  std::int64_t longest(std::int64_t step) const noexcept;

  // Gives places to sentences that begin in this step, where it is time to.
  std::vector<PlacedSentence> admit(std::int64_t step);
  // Frees the places whose sentences had no rows left behind step `step`, as rows_of [places] says,
  // and those whose last possible step this was.
  std::vector<PlacedSentence> end(std::int64_t step, std::span<const kernels::RowRange> rows_of);
  std::vector<PlacedSentence> end_of_time(std::int64_t step);

 private:
  struct Place {
    std::int64_t sentence = -1;  // none
    std::int64_t first_step = 0;
    std::int64_t first_token = 0;
  };
  struct Tokens {
    std::int64_t begin;
    std::int64_t end;
  };
  std::int64_t waiting() const noexcept { return ssize(sentences_.size()) - next_; }
  std::vector<Tokens> taken() const;
  template <typename Has>
  std::vector<PlacedSentence> free(Has has_ended);

  std::vector<SentenceNeeds> sentences_;
  std::vector<Place> places_;
  std::int64_t tokens_;
  std::int64_t unit_;      // places
  std::int64_t busy_ = 0;  // places
  std::int64_t next_ = 0;  // sentence
};

}  // namespace elbeam::device
