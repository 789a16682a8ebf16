// sacrebleu/tokenizers/tokenizer_ter.py: what Tercom's Normalizer.java does, as Python writes it.
#include "eval/tokenizers.hpp"
#include "text/python_string.hpp"
#include "text/unicode.hpp"
#include "text/utf8.hpp"

#include <algorithm>
#include <initializer_list>

namespace elbeam::eval {
namespace {

struct CodePointRange {
  char32_t first;
  char32_t last;
};
using Ranges = std::initializer_list<CodePointRange>;

bool is_in(Ranges ranges, char32_t c) noexcept {
  return std::any_of(ranges.begin(), ranges.end(), [c](const CodePointRange& range) noexcept {
    return c >= range.first && c <= range.last;
  });
}

// What becomes of the characters in `ranges`: blanks around, or nothing left.
enum class Treatment { kSeparate, kRemove };

std::string treat(std::string_view line, Ranges ranges, Treatment treatment) {
  std::string out;
  for (std::size_t i = 0; i < line.size();) {
    const text::Utf8Unit unit = text::utf8_unit(line, i);
    const std::string_view character = line.substr(i, unit.length);
    i += unit.length;
    if (!unit.valid || !is_in(ranges, unit.code_point)) {
      out += character;
    } else if (treatment == Treatment::kSeparate) {
      out.append(" ").append(character).append(" ");
    }
  }
  return out;
}

constexpr Ranges kAsianPunctuation = {
    {0x3001, 0x3002}, {0x3008, 0x3011}, {0x3014, 0x301f}, {0xff61, 0xff65}, {0x30fb, 0x30fb}};
constexpr Ranges kFullWidthPunctuation = {{0xff0e, 0xff0e}, {0xff0c, 0xff0c}, {0xff1f, 0xff1f},
                                          {0xff1a, 0xff1b}, {0xff01, 0xff02}, {0xff08, 0xff09}};

std::string normalize_western(std::string_view in) {
  using text::replace_all;
  std::string line = replace_all(in, "\n-", "");
  line = replace_all(line, "\n", " ");
  line = replace_all(line, "&quot;", "\"");
  line = replace_all(line, "&amp;", "&");
  line = replace_all(line, "&lt;", "<");
  line = replace_all(line, "&gt;", ">");
  // The possessive at the end of the line ("'s$") never applies: the line ends with a blank.
  return separate_by_digits(replace_all(separate_marks(" " + line + " "), "'s ", " 's "));
}

std::string normalize_asian(std::string line) {
  const auto separate = [&line](Ranges ranges) {
    line = treat(line, ranges, Treatment::kSeparate);
  };
  separate({{0x4e00, 0x9fff}, {0x3400, 0x4dbf}});
  separate({{0x31c0, 0x31ef}, {0x2e80, 0x2eff}});
  separate({{0x3300, 0x33ff}, {0xf900, 0xfaff}, {0xfe30, 0xfe4f}});
  separate({{0x3200, 0x3f22}});
  // Python's next three expressions split runs of kana only if the line consists of them, and a
  // normalised line begins with a blank: they change nothing.
  separate(kAsianPunctuation);
  separate(kFullWidthPunctuation);
  return line;
}

std::string remove_western_punctuation(std::string_view line) {
  constexpr std::string_view kMarks = ".,?:;!\"()";
  std::string out;
  for (const char c : line) {
    if (kMarks.find(c) == std::string_view::npos) out += c;
  }
  return out;
}

}  // namespace

std::string tercom_tokenize(std::string_view in, const TercomOptions& options) {
  std::string line = options.case_sensitive ? std::string(in) : text::lower(in);
  if (line.empty()) return line;
  if (options.normalized) {
    line = normalize_western(line);
    if (options.asian_support) line = normalize_asian(std::move(line));
  }
  if (options.no_punct) {
    line = remove_western_punctuation(line);
    if (options.asian_support) {
      line = treat(line, kAsianPunctuation, Treatment::kRemove);
      line = treat(line, kFullWidthPunctuation, Treatment::kRemove);
    }
  }
  return join_words(line);
}

}  // namespace elbeam::eval
