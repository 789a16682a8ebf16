// Rules on the next token that depend on the tokens which a hypothesis has already:
// --no-repeat-ngram-size, the repetition penalty and suppressed sequences (see SearchOptions).
#pragma once

#include <elbeam/options.hpp>

#include "search/lprob_rules.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::search {

class HistoryRules {
 public:
  // Keeps a reference to `options`.
  explicit HistoryRules(const SearchOptions& options) : options_(options) {}

  // Whether there are any such rules.
  bool active() const noexcept {
    return options_.no_repeat_ngram_size > 0 || options_.repetition_penalty != 1.0 ||
           !options_.suppressed_sequences.empty();
  }

  // history: the token that the hypothesis starts from and those after it. row: of its next token,
  // with bounds. only_eos: the last step, where only eos may follow: it is not penalised or
  // suppressed, but an n-gram with it may be a repeated one. Not thread-safe: uses work space.
  void apply(std::span<const std::int64_t> history, bool only_eos, const LprobRow& row);

 private:
  void penalise_repetition(std::span<const std::int64_t> output, const LprobRow& row);

  const SearchOptions& options_;
  std::vector<std::int64_t> seen_;
};

// What fairseq's CUDA kernel does (clib/cuda/ngram_repeat_block_cuda_kernel.cu): a token that would
// complete an n-gram which is in the history gets -inf. n >= 1; the history is as above. With n = 1
// the kernel forbids the start token too, which is eos, so that nothing can ever end; we do not.
void block_repeated_ngrams(std::span<const std::int64_t> history, std::int64_t n,
                           std::span<float> log_probs) noexcept;

}  // namespace elbeam::search
