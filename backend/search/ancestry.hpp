// The histories of all hypotheses of a batch, kept as a tree: extending a hypothesis costs one
// node, where fairseq copies its whole row of tokens and scores at every step.
#pragma once

#include <cstdint>
#include <vector>

namespace elbeam::search {

class Ancestry {
 public:
  using Node = std::int64_t;
  static constexpr Node kRoot = -1;  // the empty history

  // Makes room for `nodes` without further allocation; more grow geometrically.
  explicit Ancestry(std::int64_t nodes);

  // The history of `parent` and one token more; score is cumulative.
  Node extend(Node parent, std::int64_t token, float score);

  // The history without its last token. Not for the root.
  Node parent(Node node) const noexcept;

  // Cumulative score of a history; 0 of the root.
  float score(Node node) const noexcept;

  // Tokens and cumulative scores of a history from its first token on. Overwrites the vectors.
  void path(Node node, std::vector<std::int64_t>& tokens, std::vector<float>& scores) const;

 private:
  struct Link {
    Node parent;
    std::int32_t token;  // vocabularies are checked to fit when decoding starts
    float score;
  };
  std::vector<Link> links_;
};

}  // namespace elbeam::search
