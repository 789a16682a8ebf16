// fairseq/token_generation_constraints.py: how far a hypothesis has come with the token sequences
// that it must contain (Post and Vilar 2018, arXiv:1804.06609; Hu et al. 2019, N19-1090).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace elbeam::search {

using Constraints = std::vector<std::vector<std::int64_t>>;  // of one sentence; none is empty

// Immutable, so that hypotheses share their histories.
class ConstraintState {
 public:
  virtual ~ConstraintState() = default;

  // Constraint tokens that are met: hypotheses with equal numbers compete with each other.
  virtual std::int64_t bank() const = 0;
  virtual std::int64_t completed() const = 0;  // whole constraints
  virtual bool finished() const = 0;           // nothing is left to be met
  // The state before any token was met, or behind a token that led nowhere (fairseq's is_root).
  virtual bool at_root() const = 0;

  // What fairseq takes for the number of constraint tokens when it ranks banks. For unordered
  // constraints that is the number of different tokens.
  virtual std::int64_t counted_tokens() const = 0;

  // Appends the tokens that would meet more. An ordered state may give the same token twice.
  virtual void append_next_tokens(std::vector<std::int64_t>& tokens) const = 0;

  virtual std::shared_ptr<const ConstraintState> advance(std::int64_t token) const = 0;
};

using ConstraintStatePtr = std::shared_ptr<const ConstraintState>;

// Constraints that must come in this order, with other tokens between them.
ConstraintStatePtr ordered_constraints(const Constraints& constraints);

// Constraints in any order.
ConstraintStatePtr unordered_constraints(const Constraints& constraints);

}  // namespace elbeam::search
