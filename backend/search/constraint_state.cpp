#include "search/constraint_state.hpp"

#include "base/checked_math.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

namespace elbeam::search {
namespace {

// All constraints, one behind the other.
struct ConstraintSequence {
  std::vector<std::int64_t> tokens;
  std::vector<bool> ends;  // [tokens] the last one of a constraint
};

class OrderedState final : public ConstraintState {
 public:
  OrderedState(std::shared_ptr<const ConstraintSequence> sequence, std::int64_t met)
      : sequence_(std::move(sequence)), met_(met) {}

  std::int64_t bank() const override { return met_; }
  std::int64_t completed() const override {
    return std::count(sequence_->ends.begin(), sequence_->ends.begin() + met_, true);
  }
  bool finished() const override { return met_ == counted_tokens(); }
  bool at_root() const override { return met_ == 0; }
  std::int64_t counted_tokens() const override { return ssize(sequence_->tokens.size()); }

  void append_next_tokens(std::vector<std::int64_t>& tokens) const override {
    if (met_ > 1) tokens.push_back(sequence_->tokens.front());
    if (!finished()) tokens.push_back(sequence_->tokens[usize(met_)]);
  }

  ConstraintStatePtr advance(std::int64_t token) const override {
    if (finished()) return at(met_);
    if (sequence_->tokens[usize(met_)] == token) return at(met_ + 1);
    // Anything may come between constraints, and before the first one.
    if (met_ == 0 || sequence_->ends[usize(met_ - 1)]) return at(met_);
    // Inside a constraint everything starts over, the constraints before it included.
    return at(token == sequence_->tokens.front() ? 1 : 0);
  }

 private:
  ConstraintStatePtr at(std::int64_t met) const {
    return std::make_shared<OrderedState>(sequence_, met);
  }

  std::shared_ptr<const ConstraintSequence> sequence_;
  std::int64_t met_;  // tokens; fairseq's state is one less
};

// The constraints as a trie. Node 0 is the root.
class ConstraintTrie {
 public:
  struct Node {
    std::int64_t token = 0;
    std::size_t parent = 0;
    std::int64_t ending = 0;   // constraints that end here
    std::int64_t passing = 0;  // constraints that end here or below
    std::vector<std::size_t> children;
  };

  explicit ConstraintTrie(const Constraints& constraints) : nodes_(1) {
    for (const auto& constraint : constraints) add(constraint);
    std::set<std::int64_t> tokens;
    for (std::size_t i = 1; i < nodes_.size(); ++i) tokens.insert(nodes_[i].token);
    different_tokens_ = ssize(tokens.size());
  }

  std::size_t size() const { return nodes_.size(); }
  const Node& operator[](std::size_t node) const { return nodes_[node]; }
  std::int64_t different_tokens() const { return different_tokens_; }

  // 0, which is nobody's child, where there is none.
  std::size_t child(std::size_t node, std::int64_t token) const {
    for (const std::size_t child : nodes_[node].children) {
      if (nodes_[child].token == token) return child;
    }
    return 0;
  }

 private:
  void add(const std::vector<std::int64_t>& constraint) {
    std::size_t node = 0;
    nodes_[0].passing += 1;
    for (const std::int64_t token : constraint) {
      std::size_t next = child(node, token);
      if (next == 0) {
        next = nodes_.size();
        nodes_.push_back({token, node, 0, 0, {}});
        nodes_[node].children.push_back(next);
      }
      node = next;
      nodes_[node].passing += 1;
    }
    nodes_[node].ending += 1;
  }

  std::vector<Node> nodes_;
  std::int64_t different_tokens_ = 0;
};

// The order in which CPython (Objects/setobject.c) iterates over a set of these different integers:
// 8 places for up to 4 of them, 32 for up to 19 (more stay as they are). It decides between
// candidates of equal score, which are mostly impossible ones.
std::vector<std::int64_t> in_set_order(const std::vector<std::int64_t>& tokens) {
  const std::size_t mask = tokens.size() <= 4 ? 7 : 31;
  if (tokens.size() > 19) return tokens;
  std::vector<std::int64_t> places(mask + 1, -1);
  for (const std::int64_t token : tokens) {
    constexpr std::size_t kNeighbours = 9;
    std::size_t rest = usize(token);
    std::size_t place = rest & mask;
    while (places[place] != -1) {
      if (place + kNeighbours <= mask) {
        std::size_t near = place;
        while (near <= place + kNeighbours && places[near] != -1) ++near;
        if (near <= place + kNeighbours) {
          place = near;
          break;
        }
      }
      rest >>= 5;
      place = (place * 5 + 1 + rest) & mask;
    }
    places[place] = token;
  }
  std::erase(places, -1);
  return places;
}

class UnorderedState final : public ConstraintState {
 public:
  explicit UnorderedState(std::shared_ptr<const ConstraintTrie> trie)
      : trie_(std::move(trie)), generated_(trie_->size(), 0), completed_(trie_->size(), 0) {}

  std::int64_t bank() const override { return sum(generated_); }
  // A constraint that has just ended counts already, though it is booked with the next token only.
  std::int64_t completed() const override {
    return sum(completed_) + (can_complete(node_) ? 1 : 0);
  }
  bool finished() const override { return (*trie_)[0].passing == completed(); }
  bool at_root() const override { return node_ == 0; }
  std::int64_t counted_tokens() const override { return trie_->different_tokens(); }

  void append_next_tokens(std::vector<std::int64_t>& tokens) const override {
    std::vector<std::int64_t> following = children_of(0);
    if (node_ != 0) {
      for (const std::int64_t token : children_of(node_)) {
        if (trie_->child(0, token) == 0) following.push_back(token);
      }
      following = in_set_order(following);
    }
    tokens.insert(tokens.end(), following.begin(), following.end());
  }

  ConstraintStatePtr advance(std::int64_t token) const override {
    auto next = std::make_shared<UnorderedState>(*this);
    const std::size_t child = open_child(node_, token);
    if (child != 0) {
      next->enter(child);
      return next;
    }
    const std::size_t restart = open_child(0, token);
    next->enter(restart);
    rewind(*next);
    return next;
  }

 private:
  static std::int64_t sum(const std::vector<std::int64_t>& counts) {
    return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  }

  std::vector<std::int64_t> children_of(std::size_t node) const {
    std::vector<std::int64_t> tokens;
    for (const std::size_t child : (*trie_)[node].children) {
      tokens.push_back((*trie_)[child].token);
    }
    return in_set_order(tokens);
  }

  bool can_complete(std::size_t node) const { return completed_[node] < (*trie_)[node].ending; }

  // The child that has constraints left below it; else 0.
  std::size_t open_child(std::size_t node, std::int64_t token) const {
    const std::size_t child = trie_->child(node, token);
    return child != 0 && generated_[child] < (*trie_)[child].passing ? child : 0;
  }

  void enter(std::size_t node) {
    node_ = node;
    if (node != 0) generated_[node] += 1;
  }

  // Having left a path: the longest constraint that it contains is completed, and what was met
  // beyond that does not count any more.
  void rewind(UnorderedState& next) const {
    for (std::size_t node = node_; node != 0; node = (*trie_)[node].parent) {
      if (can_complete(node)) {
        next.completed_[node] += 1;
        return;
      }
      next.generated_[node] -= 1;
    }
  }

  std::shared_ptr<const ConstraintTrie> trie_;
  std::size_t node_ = 0;
  std::vector<std::int64_t> generated_;  // [nodes] times that the node was met
  std::vector<std::int64_t> completed_;  // [nodes] constraints that are done
};

}  // namespace

ConstraintStatePtr ordered_constraints(const Constraints& constraints) {
  auto sequence = std::make_shared<ConstraintSequence>();
  for (const auto& constraint : constraints) {
    sequence->tokens.insert(sequence->tokens.end(), constraint.begin(), constraint.end());
    sequence->ends.resize(sequence->tokens.size(), false);
    sequence->ends.back() = true;
  }
  return std::make_shared<OrderedState>(std::move(sequence), 0);
}

ConstraintStatePtr unordered_constraints(const Constraints& constraints) {
  return std::make_shared<UnorderedState>(std::make_shared<ConstraintTrie>(constraints));
}

}  // namespace elbeam::search
