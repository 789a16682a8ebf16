#include "text/post_process.hpp"

#include "base/check.hpp"
#include "text/python_string.hpp"

#include <algorithm>
#include <array>

namespace elbeam::text {
namespace {

constexpr std::array<std::string_view, 10> kSymbols = {
    "",        "none", "sentencepiece", "wordpiece", "letter",
    "silence", "_EOW", "subword_nmt",   "@@ ",       "@@"};

// Pieces are separated by blanks and a mark stands where the text has a blank.
std::string join_pieces(std::string_view sentence, std::string_view blank_mark) {
  const std::string joined = replace_all(replace_all(sentence, " ", ""), blank_mark, " ");
  return std::string(strip(joined));
}

std::string remove_silence(std::string_view sentence) {
  std::string out = replace_all(sentence, "<SIL>", "");
  const auto both_blank = [](char a, char b) { return a == ' ' && b == ' '; };
  out.erase(std::unique(out.begin(), out.end(), both_blank), out.end());
  return std::string(strip(out));
}

}  // namespace

void validate_post_process(std::string_view symbol) {
  ELBEAM_CHECK(std::find(kSymbols.begin(), kSymbols.end(), symbol) != kSymbols.end(),
               ErrorCode::kUsage, "Unknown post_process option: ", quoted(symbol));
}

std::string post_process(std::string_view sentence, std::string_view symbol) {
  validate_post_process(symbol);
  if (symbol.empty() || symbol == "none") return std::string(sentence);
  if (symbol == "sentencepiece") return join_pieces(sentence, "\u2581");
  if (symbol == "wordpiece") return join_pieces(sentence, "_");
  if (symbol == "letter") return join_pieces(sentence, "|");
  if (symbol == "_EOW") return join_pieces(sentence, "_EOW");
  if (symbol == "silence") return remove_silence(sentence);
  // A blank is appended so that a continuation mark at the very end goes too.
  const std::string_view mark = symbol == "subword_nmt" ? "@@ " : symbol;
  const std::string joined = replace_all(std::string(sentence) + " ", mark, "");
  return std::string(strip_right(joined));
}

}  // namespace elbeam::text
