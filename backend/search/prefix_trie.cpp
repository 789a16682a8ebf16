#include <elbeam/prefix_trie.hpp>

#include "base/checked_math.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace elbeam {

// Sequences [begin, end) in lexical order.
struct PrefixTrie::Range {
  std::size_t begin = 0;
  std::size_t end = 0;
};

PrefixTrie::PrefixTrie(std::vector<std::vector<std::int64_t>> sequences) {
  std::sort(sequences.begin(), sequences.end());
  sequences.erase(std::unique(sequences.begin(), sequences.end()), sequences.end());
  starts_.reserve(sequences.size() + 1);
  for (const auto& sequence : sequences) {
    starts_.push_back(tokens_.size());
    tokens_.insert(tokens_.end(), sequence.begin(), sequence.end());
  }
  starts_.push_back(tokens_.size());
}

std::span<const std::int64_t> PrefixTrie::sequence(std::size_t index) const {
  return std::span(tokens_).subspan(starts_[index], starts_[index + 1] - starts_[index]);
}

// Those of `range`, which agree in the first `depth` tokens, that have `token` next. A sequence
// that ends there comes before all others.
PrefixTrie::Range PrefixTrie::narrow(const Range& range, std::size_t depth,
                                     std::int64_t token) const {
  const auto first_where = [&](std::size_t begin, auto&& condition) {
    std::size_t end = range.end;
    while (begin < end) {
      const std::size_t middle = begin + (end - begin) / 2;
      const auto tokens = sequence(middle);
      if (tokens.size() > depth && condition(tokens[depth])) {
        end = middle;
      } else {
        begin = middle + 1;
      }
    }
    return begin;
  };
  const std::size_t begin =
      first_where(range.begin, [token](std::int64_t other) { return other >= token; });
  return {begin, first_where(begin, [token](std::int64_t other) { return other > token; })};
}

void PrefixTrie::append_following(std::span<const std::int64_t> prefix,
                                  std::vector<std::int64_t>& tokens) const {
  Range range{0, usize(size())};
  for (std::size_t depth = 0; depth < prefix.size(); ++depth) {
    range = narrow(range, depth, prefix[depth]);
  }
  while (range.begin < range.end && sequence(range.begin).size() <= prefix.size()) ++range.begin;
  while (range.begin < range.end) {
    const std::int64_t token = sequence(range.begin)[prefix.size()];
    tokens.push_back(token);
    range.begin = narrow(range, prefix.size(), token).end;
  }
}

AllowedTokens allowed_by(std::shared_ptr<const PrefixTrie> trie) {
  return [trie = std::move(trie)](std::int64_t /*sentence*/, std::span<const std::int64_t> tokens,
                                  std::vector<std::int64_t>& allowed) {
    trie->append_following(tokens.subspan(1), allowed);
  };
}

}  // namespace elbeam
