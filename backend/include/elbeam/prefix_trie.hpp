// Outputs that a model may choose from, for prefix-constrained search: entity names for instance
// (De Cao et al. 2021, arXiv:2010.00904). Read-only after it is made: any thread may use it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace elbeam {

// Which tokens may follow a hypothesis: fairseq's prefix_allowed_tokens_fn(batch_id, sent).
// `sentence` counts those of the batch; `tokens` holds the hypothesis, the token that it starts
// from included. Appends to `allowed`, which is empty, in any order; what it leaves empty cannot go
// on. Called for hypotheses that have ended, too. May throw; must be thread-safe where batches are
// decoded in several threads.
using AllowedTokens =
    std::function<void(std::int64_t sentence, std::span<const std::int64_t> tokens,
                       std::vector<std::int64_t>& allowed)>;

// A set of token sequences that answers what may follow a prefix of one of them. Takes the memory
// of the tokens and 8 bytes a sequence; a question costs time proportional to the prefix and to the
// answer, times the logarithm of the number of sequences.
class PrefixTrie {
 public:
  // Sequences as a decoder gives them, with eos at their ends and without the token that it starts
  // from. Repetitions count once.
  explicit PrefixTrie(std::vector<std::vector<std::int64_t>> sequences);

  // Appends the tokens that follow `prefix` in any sequence, ascending.
  void append_following(std::span<const std::int64_t> prefix,
                        std::vector<std::int64_t>& tokens) const;

  std::int64_t size() const noexcept { return static_cast<std::int64_t>(starts_.size()) - 1; }

 private:
  struct Range;
  std::span<const std::int64_t> sequence(std::size_t index) const;
  Range narrow(const Range& range, std::size_t depth, std::int64_t token) const;

  std::vector<std::int64_t> tokens_;  // the sequences in lexical order, one behind the other
  std::vector<std::size_t> starts_;   // [sequences + 1] places in tokens_
};

// What follows a hypothesis in the trie, the same for all sentences.
AllowedTokens allowed_by(std::shared_ptr<const PrefixTrie> trie);

}  // namespace elbeam
