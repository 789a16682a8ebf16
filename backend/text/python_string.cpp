#include "text/python_string.hpp"

#include "text/utf8.hpp"

namespace elbeam::text {
namespace {

bool is_continuation(char byte) noexcept {
  return (static_cast<unsigned char>(byte) & 0xc0U) == 0x80U;
}

bool is_space_unit(const Utf8Unit& unit) noexcept {
  return unit.valid && is_space(unit.code_point);
}

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

}  // namespace

bool is_space(char32_t code_point) noexcept {
  if (code_point < 0x80) {
    return (code_point >= 0x09 && code_point <= 0x0d) || (code_point >= 0x1c && code_point <= 0x20);
  }
  switch (code_point) {
    case 0x85:
    case 0xa0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202f:
    case 0x205f:
    case 0x3000:
      return true;
    default:
      return code_point >= 0x2000 && code_point <= 0x200a;
  }
}

std::string_view strip_right(std::string_view text) noexcept {
  while (!text.empty()) {
    std::size_t start = text.size() - 1;
    while (start > 0 && text.size() - start < 4 && is_continuation(text[start])) --start;
    const Utf8Unit unit = utf8_unit(text, start);
    if (!is_space_unit(unit) || start + unit.length != text.size()) break;
    text = text.substr(0, start);
  }
  return text;
}

std::string_view strip(std::string_view text) noexcept {
  while (!text.empty()) {
    const Utf8Unit unit = utf8_unit(text, 0);
    if (!is_space_unit(unit)) break;
    text.remove_prefix(unit.length);
  }
  return strip_right(text);
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t start = 0;  // of the word being read
  std::size_t i = 0;
  while (i < text.size()) {
    const Utf8Unit unit = utf8_unit(text, i);
    if (is_space_unit(unit)) {
      if (i > start) words.push_back(text.substr(start, i - start));
      start = i + unit.length;
    }
    i += unit.length;
  }
  if (text.size() > start) words.push_back(text.substr(start));
  return words;
}

std::string single_blanks(std::string_view text) {
  std::string out;
  bool in_space = false;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Unit unit = utf8_unit(text, i);
    const bool space = unit.valid && is_space(unit.code_point);
    if (!space) out.append(text.substr(i, unit.length));
    if (space && !in_space) out += ' ';
    in_space = space;
    i += unit.length;
  }
  return out;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  std::size_t start = 0;
  for (std::size_t hit = text.find(from); hit != std::string_view::npos;
       hit = text.find(from, start)) {
    out.append(text.substr(start, hit - start)).append(to);
    start = hit + from.size();
  }
  out.append(text.substr(start));
  return out;
}

std::optional<std::int64_t> parse_int(std::string_view text) noexcept {
  text = strip(text);
  const bool negative = !text.empty() && text.front() == '-';
  if (negative || (!text.empty() && text.front() == '+')) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  std::int64_t value = 0;
  bool after_digit = false;
  for (const char c : text) {
    if (c == '_' && after_digit) {
      after_digit = false;
      continue;
    }
    if (!is_digit(c)) return std::nullopt;
    after_digit = true;
    const std::int64_t digit = negative ? -(c - '0') : c - '0';
    if (__builtin_mul_overflow(value, std::int64_t{10}, &value) ||
        __builtin_add_overflow(value, digit, &value)) {
      return std::nullopt;
    }
  }
  if (!after_digit) return std::nullopt;  // ends with an underscore
  return value;
}

}  // namespace elbeam::text
