#include "search/constrained_search.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace elbeam::search {
namespace {

void check_constraints(const Constraints& constraints, std::size_t sentence,
                       const DecodePlan& plan) {
  std::int64_t tokens = 0;
  for (const auto& constraint : constraints) {
    ELBEAM_CHECK(!constraint.empty(), ErrorCode::kUsage, "constraints of sentence ", sentence,
                 " of the batch: one has no tokens");
    for (const std::int64_t token : constraint) {
      ELBEAM_CHECK(token >= 0 && token < plan.vocab, ErrorCode::kUsage, "constraints of sentence ",
                   sentence, " of the batch: token ", token, " is outside the vocabulary of ",
                   plan.vocab);
    }
    tokens += ssize(constraint.size());
  }
  ELBEAM_CHECK(tokens <= plan.max_len, ErrorCode::kUsage, "constraints of sentence ", sentence,
               " of the batch: they have ", tokens, " tokens, and hypotheses may have ",
               plan.max_len, " (--max-len-a, --max-len-b)");
}

}  // namespace

ConstrainedSearch::ConstrainedSearch(const DecodeRequest& request, const DecodePlan& plan)
    : eos_(request.special.eos) {
  const auto& constraints = request.constraints;
  ELBEAM_CHECK(constraints.empty() || ssize(constraints.size()) == plan.sentences,
               ErrorCode::kUsage, "expected one list of constraints for each of ", plan.sentences,
               " sentences, got ", constraints.size());
  const bool ordered = request.options.strategy == Strategy::kConstrainedOrdered;
  for (std::size_t i = 0; i < usize(plan.sentences); ++i) {
    const Constraints own = constraints.empty() ? Constraints{} : constraints[i];
    check_constraints(own, i, plan);
    const auto state = ordered ? ordered_constraints(own) : unordered_constraints(own);
    states_.emplace_back(usize(plan.beam), state);
  }
}

void ConstrainedSearch::propose(const SentenceStep& step, std::vector<Candidate>& candidates) {
  if (step.step > 0) forbid_early_ends(step);
  collect(step);
  const auto& states = states_[usize(step.sentence)];
  for (Extension& extension : extensions_) {
    extension.state = states[usize(extension.candidate.row)]->advance(extension.candidate.token);
  }
  sort_by_bank();
  drop_repetitions(step.vocab);
  sort_by_stripe();
  candidates.clear();
  proposed_.clear();
  const std::size_t count = std::min(extensions_.size(), usize(2 * step.beam));
  for (std::size_t i = 0; i < count; ++i) {
    candidates.push_back(extensions_[i].candidate);
    proposed_.push_back(std::move(extensions_[i].state));
  }
}

void ConstrainedSearch::survive(std::int64_t sentence, std::span<const std::int64_t> survivors) {
  auto& states = states_[usize(sentence)];
  for (std::size_t row = 0; row < survivors.size(); ++row) {
    states[row] = proposed_[usize(survivors[row])];
  }
}

void ConstrainedSearch::forbid_early_ends(const SentenceStep& step) const {
  const auto& states = states_[usize(step.sentence)];
  for (std::int64_t row = 0; row < ssize(step.scores.size()); ++row) {
    if (states[usize(row)]->finished()) continue;
    step.log_probs[usize(row * step.vocab + eos_)] = -std::numeric_limits<float>::infinity();
  }
}

void ConstrainedSearch::collect(const SentenceStep& step) {
  extensions_.clear();
  best_candidates({step.log_probs, step.scores, step.vocab}, 2 * step.beam, workspace_, best_);
  for (const Candidate& candidate : best_) extensions_.push_back({candidate});
  const std::int64_t rows = ssize(step.scores.size());
  for (std::int64_t row = 0; row < rows && step.step > 0; ++row) {
    const auto log_probs = step.log_probs.subspan(usize(row * step.vocab), usize(step.vocab));
    const OffsetRows one{log_probs, step.scores.subspan(usize(row), 1), step.vocab};
    const ScoredIndex& best = topk(one, 1, workspace_).front();
    extensions_.push_back({{best.score, best.index, row}});
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    tokens_.clear();
    states_[usize(step.sentence)][usize(row)]->append_next_tokens(tokens_);
    for (const std::int64_t token : tokens_) {
      const float score = step.log_probs[usize(row * step.vocab + token)] + step.scores[usize(row)];
      extensions_.push_back({{score, token, row}});
    }
  }
}

// Most tokens met first, then by score. fairseq puts both into one float32, which leaves scores
// with fewer digits and lets those below -100 fall into the bank behind; and the order of equal
// keys is that of libstdc++'s std::sort (docs/decisions/row-order.md).
void ConstrainedSearch::sort_by_bank() {
  for (Extension& extension : extensions_) {
    extension.left = extension.state->counted_tokens() - extension.state->bank();
    extension.key = static_cast<float>(extension.left * -100) + extension.candidate.score;
  }
  std::sort(extensions_.begin(), extensions_.end(), [](const Extension& x, const Extension& y) {
    return (std::isnan(x.key) && !std::isnan(y.key)) || x.key > y.key;
  });
}

// A candidate is dropped when it repeats the one before it; the first is compared with the last.
// If that drops the first one, fairseq's states go on belonging to the candidate before theirs.
void ConstrainedSearch::drop_repetitions(std::int64_t vocab) {
  const auto number = [vocab](const Extension& extension) {
    return extension.candidate.row * (vocab + 1) + extension.candidate.token;
  };
  if (extensions_.size() == 1) return;  // it would be compared with itself, and nothing were left
  std::vector<Extension> kept;
  std::vector<ConstraintStatePtr> states;
  for (std::size_t i = 0; i < extensions_.size(); ++i) {
    const Extension& before = i == 0 ? extensions_.back() : extensions_[i - 1];
    const bool unique = number(before) != number(extensions_[i]);
    if (unique || i == 0) states.push_back(extensions_[i].state);
    if (unique) kept.push_back(extensions_[i]);
  }
  for (std::size_t i = 0; i < kept.size(); ++i) kept[i].state = states[i];
  extensions_ = std::move(kept);
}

// Deals out the places: the best of each bank, then the second best of each, and so on.
void ConstrainedSearch::sort_by_stripe() {
  const std::int64_t width = ssize(extensions_.size()) + 1;
  std::int64_t place = -1;
  std::int64_t left_before = extensions_.front().left;
  for (Extension& extension : extensions_) {
    place = extension.left == left_before ? place + 1 : 0;
    left_before = extension.left;
    extension.stripe = extension.left + place * width;
  }
  std::sort(extensions_.begin(), extensions_.end(),
            [](const Extension& x, const Extension& y) { return x.stripe < y.stripe; });
}

}  // namespace elbeam::search
