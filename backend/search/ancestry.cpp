#include "search/ancestry.hpp"

#include "base/checked_math.hpp"

#include <algorithm>

namespace elbeam::search {

Ancestry::Ancestry(std::int64_t nodes) { links_.reserve(usize(nodes)); }

Ancestry::Node Ancestry::extend(Node parent, std::int64_t token, float score) {
  links_.push_back({parent, static_cast<std::int32_t>(token), score});
  return ssize(links_.size()) - 1;
}

Ancestry::Node Ancestry::parent(Node node) const noexcept { return links_[usize(node)].parent; }

float Ancestry::score(Node node) const noexcept {
  return node == kRoot ? 0.0F : links_[usize(node)].score;
}

void Ancestry::path(Node node, std::vector<std::int64_t>& tokens,
                    std::vector<float>& scores) const {
  tokens.clear();
  scores.clear();
  for (; node != kRoot; node = links_[usize(node)].parent) {
    tokens.push_back(links_[usize(node)].token);
    scores.push_back(links_[usize(node)].score);
  }
  std::reverse(tokens.begin(), tokens.end());
  std::reverse(scores.begin(), scores.end());
}

}  // namespace elbeam::search
