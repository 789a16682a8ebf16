#include "fairseq_bridge/alignment.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "text/python_format.hpp"

#include <optional>

namespace elbeam::fairseq {
namespace {

// Numbers of the source tokens that count, and of the column in the attention that each has.
std::vector<std::optional<std::int64_t>> word_of_column(const AlignedPair& pair) {
  std::vector<std::optional<std::int64_t>> words;
  std::int64_t next = 0;
  for (const std::int64_t token : pair.source) {
    if (token == pair.special.pad) continue;  // has no column
    words.push_back(token == pair.special.eos ? std::nullopt : std::optional(next++));
  }
  return words;
}

}  // namespace

std::vector<std::optional<std::int64_t>> aligned_source_words(const AlignedPair& pair) {
  const auto words = word_of_column(pair);
  const auto& tokens = pair.hypothesis.tokens;
  const auto& attention = pair.hypothesis.attention;
  ELBEAM_CHECK(attention.size() == tokens.size(), ErrorCode::kUnsupported,
               "the model gave no attention to align by");
  std::vector<std::optional<std::int64_t>> aligned(tokens.size());
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    if (tokens[t] == pair.special.eos || tokens[t] == pair.special.pad) continue;
    std::optional<std::size_t> best;
    for (std::size_t column = 0; column < words.size(); ++column) {
      if (!words[column]) continue;
      if (!best || attention[t].at(column) > attention[t].at(*best)) best = column;
    }
    if (best) aligned[t] = words[*best];
  }
  return aligned;
}

std::string hard_alignment_text(const AlignedPair& pair) {
  const auto aligned = aligned_source_words(pair);
  std::string text;
  std::int64_t target = 0;
  for (std::size_t t = 0; t < aligned.size(); ++t) {
    const std::int64_t token = pair.hypothesis.tokens[t];
    if (token == pair.special.eos || token == pair.special.pad) continue;
    if (aligned[t]) text += concat(text.empty() ? "" : " ", *aligned[t], "-", target);
    ++target;
  }
  return text;
}

std::string soft_alignment_text(const AlignedPair& pair) {
  const std::size_t columns = word_of_column(pair).size();
  std::string text;
  ELBEAM_CHECK(pair.hypothesis.attention.size() == pair.hypothesis.tokens.size(),
               ErrorCode::kUnsupported, "the model gave no attention to align by");
  for (std::size_t t = 0; t < pair.hypothesis.tokens.size(); ++t) {
    if (pair.hypothesis.tokens[t] == pair.special.pad) continue;
    if (!text.empty()) text += ' ';
    for (std::size_t column = 0; column < columns; ++column) {
      if (column > 0) text += ',';
      text += text::python_fixed(static_cast<double>(pair.hypothesis.attention[t].at(column)), 6);
    }
  }
  return text;
}

}  // namespace elbeam::fairseq
