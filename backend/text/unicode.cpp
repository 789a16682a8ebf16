#include "text/unicode.hpp"

#include "text/utf8.hpp"

#include <algorithm>
#include <span>

namespace elbeam::text {
namespace {

struct CodePointRange {
  char32_t first;
  char32_t last;
};

struct LowerRange {
  char32_t first;
  char32_t last;
  char32_t step;  // every step-th code point from first on
  int distance;   // from the letter to its lower case
};

#include "text/unicode_tables.inc"

constexpr char32_t kCapitalSigma = U'\u03a3';
constexpr char32_t kSmallSigma = U'\u03c3';
constexpr char32_t kFinalSigma = U'\u03c2';
constexpr char32_t kCapitalIWithDot = U'\u0130';
constexpr char32_t kDotAbove = U'\u0307';

// The range that may hold the code point, or nullptr. Ranges are sorted and apart.
template <typename Range>
const Range* find_range(std::span<const Range> ranges, char32_t code_point) noexcept {
  const auto after = std::upper_bound(
      ranges.begin(), ranges.end(), code_point,
      [](char32_t value, const Range& range) noexcept { return value < range.first; });
  if (after == ranges.begin()) return nullptr;
  const Range& range = *(after - 1);
  return code_point <= range.last ? &range : nullptr;
}

bool is_in(std::span<const CodePointRange> ranges, char32_t code_point) noexcept {
  return find_range(ranges, code_point) != nullptr;
}

char32_t lower_of(char32_t code_point) noexcept {
  const LowerRange* range = find_range(std::span<const LowerRange>(kLower), code_point);
  if (range == nullptr || (code_point - range->first) % range->step != 0) return code_point;
  return static_cast<char32_t>(static_cast<int>(code_point) + range->distance);
}

// Whether a cased letter follows, case-ignorable characters between.
bool cased_follows(std::string_view text, std::size_t i) noexcept {
  while (i < text.size()) {
    const Utf8Unit unit = utf8_unit(text, i);
    if (!unit.valid) return false;
    if (!is_in(kCaseIgnorable, unit.code_point)) return is_in(kCased, unit.code_point);
    i += unit.length;
  }
  return false;
}

void append_lower(std::string& out, std::string_view text) {
  bool after_cased = false;  // a cased letter came before, case-ignorable characters since
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Unit unit = utf8_unit(text, i);
    const std::size_t next = i + unit.length;
    if (!unit.valid) {
      out.append(text.substr(i, unit.length));
      after_cased = false;
    } else {
      const char32_t c = unit.code_point;
      if (c == kCapitalSigma) {
        append_utf8(out, after_cased && !cased_follows(text, next) ? kFinalSigma : kSmallSigma);
      } else if (c == kCapitalIWithDot) {
        out += 'i';
        append_utf8(out, kDotAbove);
      } else {
        append_utf8(out, lower_of(c));
      }
      if (!is_in(kCaseIgnorable, c)) after_cased = is_in(kCased, c);
    }
    i = next;
  }
}

}  // namespace

bool is_punctuation(char32_t code_point) noexcept { return is_in(kPunctuation, code_point); }
bool is_symbol(char32_t code_point) noexcept { return is_in(kSymbol, code_point); }
bool is_number(char32_t code_point) noexcept { return is_in(kNumber, code_point); }
bool is_word_character(char32_t code_point) noexcept { return is_in(kWord, code_point); }

std::string lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const auto is_ascii = [](char c) noexcept { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), is_ascii)) {
    for (const char c : text) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return out;
  }
  append_lower(out, text);
  return out;
}

}  // namespace elbeam::text
