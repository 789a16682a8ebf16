#include "search/prefix_constrained.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>
#include <limits>

namespace elbeam::search {

PrefixConstrained::PrefixConstrained(const DecodeRequest& request)
    : allowed_(request.allowed_tokens),
      start_token_(request.start_token.value_or(request.special.eos)) {
  ELBEAM_CHECK(allowed_, ErrorCode::kUsage,
               "prefix-constrained search needs allowed tokens (GenerateRequest::allowed_tokens)");
}

void PrefixConstrained::propose(const SentenceStep& step, std::vector<Candidate>& candidates) {
  for (std::size_t row = 0; row < step.scores.size(); ++row) forbid_others(step, row);
  best_candidates({step.log_probs, step.scores, step.vocab}, step.beam, workspace_, candidates);
}

void PrefixConstrained::forbid_others(const SentenceStep& step, std::size_t row) {
  step.ancestry->path(step.nodes[row], history_, scores_);
  history_.insert(history_.begin(), start_token_);
  tokens_.clear();
  allowed_(step.sentence, history_, tokens_);
  const auto log_probs = step.log_probs.subspan(row * usize(step.vocab), usize(step.vocab));
  kept_.clear();
  for (const std::int64_t token : tokens_) {
    ELBEAM_CHECK(token >= 0 && token < step.vocab, ErrorCode::kUsage,
                 "prefix-constrained search: the allowed token ", token,
                 " is outside the vocabulary of ", step.vocab);
    kept_.push_back(log_probs[usize(token)]);
  }
  std::fill(log_probs.begin(), log_probs.end(), -std::numeric_limits<float>::infinity());
  for (std::size_t i = 0; i < tokens_.size(); ++i) log_probs[usize(tokens_[i])] = kept_[i];
}

}  // namespace elbeam::search
