// Tokens that hypotheses are forced to begin with (--prefix-size; a language model's prompt).
#pragma once

#include <elbeam/step_model.hpp>

#include "base/checked_math.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace elbeam::search {

// The prefix_tokens matrix of fairseq, [sentences, longest prefix], shorter ones filled with pad: a
// sentence is free where it has pad. Keeps a view of `prefixes`. Immutable.
class ForcedPrefixes {
 public:
  // No prefixes at all: an empty vector. `mixed`: the sentences are of several fairseq batches, and
  // each prefix is filled to the width of its own. Throws Error(kUsage) when there is not one for
  // each sentence or a token lies outside [0, vocab_size).
  ForcedPrefixes(const std::vector<std::vector<std::int64_t>>& prefixes, std::int64_t sentences,
                 std::int64_t vocab_size, const SpecialTokens& special, bool mixed = false);

  // Whether any sentence of the fairseq batch has a prefix so long. fairseq then leaves min_len out
  // for all of them, also for those whose own prefix has ended.
  bool covers(std::int64_t sentence, std::int64_t step) const noexcept {
    return step < (mixed_ && width_ > 0 ? ssize(prefixes_[usize(sentence)].size()) : width_);
  }

  std::optional<std::int64_t> token(std::int64_t sentence, std::int64_t step) const noexcept;

  // How many first tokens every sentence has that are forced, and none of them eos.
  std::int64_t common_length(std::int64_t eos) const noexcept;

  // Throws Error(kUsage) unless the prefix begins with `tokens`. fairseq demands it of the best
  // hypothesis where a prefix ends in eos; it fails where the model gives a token probability 0.
  void check_followed(std::int64_t sentence, std::span<const std::int64_t> tokens) const;

 private:
  const std::vector<std::vector<std::int64_t>>& prefixes_;
  std::int64_t pad_;
  bool mixed_;
  std::int64_t width_ = 0;
};

}  // namespace elbeam::search
