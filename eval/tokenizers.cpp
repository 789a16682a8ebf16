#include "eval/tokenizers.hpp"

#include "base/check.hpp"
#include "text/python_string.hpp"
#include "text/unicode.hpp"
#include "text/utf8.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

namespace elbeam::eval {
namespace {

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_period_or_comma(char c) noexcept { return c == '.' || c == ','; }

// [\{-\~\[-\` -\&\(-\+\:-\@\/] without the blank: more blanks around one make no other words.
constexpr std::array<bool, 256> kWesternPunctuation = [] {
  std::array<bool, 256> table{};
  const auto set = [&table](unsigned first, unsigned last) {
    for (unsigned c = first; c <= last; ++c) table[c] = true;
  };
  set('{', '~');
  set('[', '`');
  set('!', '&');
  set('(', '+');
  set(':', '@');
  set('/', '/');
  return table;
}();

// The passes below are the regular expressions of tokenizer_re.py over bytes: what they look for is
// ASCII, and a neighbour that is not a digit may be any byte of another character. Each scans from
// the left, and what one match has taken the next cannot use.

// Where the next period or comma stands, from `begin` on.
std::size_t find_period_or_comma(std::string_view in, std::size_t begin) noexcept {
  while (begin < in.size() && !is_period_or_comma(in[begin])) ++begin;
  return begin;
}

// ([^0-9])([\.,]) -> '\1 \2 '
void separate_after_non_digit(std::string_view in, std::string& out) {
  out.clear();
  std::size_t copied = 0;
  for (std::size_t i = find_period_or_comma(in, 1); i < in.size();) {
    if (!is_digit(in[i - 1])) {
      out.append(in, copied, i - copied).append({' ', in[i], ' '});
      copied = ++i;
    }
    i = find_period_or_comma(in, i + 1);
  }
  out.append(in, copied, in.size() - copied);
}

// ([\.,])([^0-9]) -> ' \1 \2'
void separate_before_non_digit(std::string_view in, std::string& out) {
  out.clear();
  std::size_t copied = 0;
  for (std::size_t i = find_period_or_comma(in, 0); i + 1 < in.size();) {
    if (!is_digit(in[i + 1])) {
      out.append(in, copied, i - copied).append({' ', in[i], ' ', in[i + 1]});
      copied = ++i + 1;
    }
    i = find_period_or_comma(in, i + 1);
  }
  out.append(in, copied, in.size() - copied);
}

// ([0-9])(-) -> '\1 \2 '
void separate_dash_after_digit(std::string_view in, std::string& out) {
  out.clear();
  std::size_t copied = 0;
  for (std::size_t i = in.find('-', 1); i < in.size(); i = in.find('-', i + 1)) {
    if (!is_digit(in[i - 1])) continue;
    out.append(in, copied, i - copied).append(" - ");
    copied = i + 1;
  }
  out.append(in, copied, in.size() - copied);
}

std::string unescape(std::string line) {
  using text::replace_all;
  if (line.find('&') == std::string::npos) return line;
  line = replace_all(line, "&quot;", "\"");
  line = replace_all(line, "&amp;", "&");
  line = replace_all(line, "&lt;", "<");
  return replace_all(line, "&gt;", ">");
}

class NoTokenizer final : public Tokenizer {
 public:
  std::string operator()(std::string_view line) const override { return std::string(line); }
};

class Tokenizer13a final : public Tokenizer {
 public:
  std::string operator()(std::string_view line) const override {
    std::string text;
    text.reserve(line.size() + 2);
    text += ' ';
    if (line.find("<skipped>") != std::string_view::npos ||
        line.find('\n') != std::string_view::npos) {
      std::string whole = text::replace_all(line, "<skipped>", "");
      whole = text::replace_all(whole, "-\n", "");
      text += text::replace_all(whole, "\n", " ");
    } else {
      text += line;
    }
    text += ' ';
    return separate_by_digits(separate_marks(unescape(std::move(text))));
  }
};

class CharacterTokenizer final : public Tokenizer {
 public:
  std::string operator()(std::string_view line) const override {
    std::string out;
    for (std::size_t i = 0; i < line.size();) {
      const std::size_t length = text::utf8_unit(line, i).length;
      if (!out.empty()) out += ' ';
      out += line.substr(i, length);
      i += length;
    }
    return out;
  }
};

struct CodePointRange {
  char32_t first;
  char32_t last;
};

bool is_in(std::span<const CodePointRange> ranges, char32_t c) noexcept {
  return std::any_of(ranges.begin(), ranges.end(), [c](const CodePointRange& range) noexcept {
    return c >= range.first && c <= range.last;
  });
}

// tokenizer_zh.py:_UCODE_RANGES. Two of its entries, meant for planes 2, are written with \u and
// five digits, which Python reads as a character and a digit; what a comparison with those strings
// lets through are the ranges from 2001 and from 2f81.
constexpr CodePointRange kChinese[] = {
    {0x3400, 0x4db5}, {0x4e00, 0x9fa5}, {0x9fa6, 0x9fbb}, {0xf900, 0xfa2d}, {0xfa30, 0xfa6a},
    {0xfa70, 0xfad9}, {0x2001, 0x2a6d}, {0x2f81, 0x2fa1}, {0xff00, 0xffef}, {0x2e80, 0x2eff},
    {0x3000, 0x303f}, {0x31c0, 0x31ef}, {0x2f00, 0x2fdf}, {0x2ff0, 0x2fff}, {0x3100, 0x312f},
    {0x31a0, 0x31bf}, {0xfe10, 0xfe1f}, {0xfe30, 0xfe4f}, {0x2600, 0x26ff}, {0x2700, 0x27bf},
    {0x3200, 0x32ff}, {0x3300, 0x33ff}};

class ChineseTokenizer final : public Tokenizer {
 public:
  std::string operator()(std::string_view line) const override {
    line = text::strip(line);
    std::string out;
    for (std::size_t i = 0; i < line.size();) {
      const text::Utf8Unit unit = text::utf8_unit(line, i);
      const bool chinese =
          unit.valid && unit.code_point >= 0x2001 && is_in(kChinese, unit.code_point);
      if (chinese) out += ' ';
      out += line.substr(i, unit.length);
      if (chinese) out += ' ';
      i += unit.length;
    }
    return separate_by_digits(separate_marks(out));
  }
};

// tokenizer_intl.py.
class InternationalTokenizer final : public Tokenizer {
 public:
  std::string operator()(std::string_view line) const override {
    thread_local std::vector<char32_t> a;
    thread_local std::vector<char32_t> b;
    decode_utf8(line, a);
    // (\P{N})(\p{P}) -> '\1 \2 '
    b.clear();
    for (std::size_t i = 0; i < a.size(); ++i) {
      b.push_back(a[i]);
      if (i + 1 == a.size() || text::is_number(a[i]) || !text::is_punctuation(a[i + 1])) continue;
      b.insert(b.end(), {U' ', a[++i], U' '});
    }
    // (\p{P})(\P{N}) -> ' \1 \2'
    a.clear();
    for (std::size_t i = 0; i < b.size(); ++i) {
      if (i + 1 == b.size() || !text::is_punctuation(b[i]) || text::is_number(b[i + 1])) {
        a.push_back(b[i]);
      } else {
        a.insert(a.end(), {U' ', b[i], U' ', b[i + 1]});
        ++i;
      }
    }
    // (\p{S}) -> ' \1 '
    b.clear();
    for (const char32_t c : a) {
      if (text::is_symbol(c)) {
        b.insert(b.end(), {U' ', c, U' '});
      } else {
        b.push_back(c);
      }
    }
    return encode_utf8(b);
  }
};

// tokenizer_spm.py.
class PieceTokenizer final : public Tokenizer {
 public:
  explicit PieceTokenizer(const Segmentation& segmentation) : segmentation_(segmentation) {}
  std::string operator()(std::string_view line) const override { return segmentation_(line); }

 private:
  Segmentation segmentation_;
};

}  // namespace

std::string separate_marks(std::string_view line) {
  std::string out;
  out.reserve(line.size() * 2);
  std::size_t copied = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (!kWesternPunctuation[static_cast<unsigned char>(line[i])]) continue;
    out.append(line, copied, i - copied).append({' ', line[i], ' '});
    copied = i + 1;
  }
  return out.append(line, copied, line.size() - copied);
}

std::string separate_by_digits(std::string_view line) {
  std::string a;
  std::string b;
  a.reserve(line.size() * 2);
  b.reserve(line.size() * 2);
  separate_after_non_digit(line, a);
  separate_before_non_digit(a, b);
  separate_dash_after_digit(b, a);
  return a;
}

bool needs_segmentation(const std::string& name) {
  return name == "spm" || name == "flores101" || name == "flores200" || name == "spBLEU-1K";
}

std::unique_ptr<const Tokenizer> make_tokenizer(const std::string& name,
                                                const Segmentation& segmentation) {
  if (needs_segmentation(name)) {
    ELBEAM_CHECK(segmentation, ErrorCode::kUnsupported, "tokenizer ", name,
                 " is a sentencepiece model, which elbeam does not carry: give its file with "
                 "--tokenizer-model (sacrebleu keeps it in ~/.sacrebleu/models)");
    return std::make_unique<PieceTokenizer>(segmentation);
  }
  if (name == "none") return std::make_unique<NoTokenizer>();
  if (name == "13a") return std::make_unique<Tokenizer13a>();
  if (name == "intl") return std::make_unique<InternationalTokenizer>();
  if (name == "char") return std::make_unique<CharacterTokenizer>();
  if (name == "zh") return std::make_unique<ChineseTokenizer>();
  for (const char* other : {"ja-mecab", "ko-mecab"}) {
    ELBEAM_CHECK(name != other, ErrorCode::kUnsupported, "tokenizer ", other,
                 " needs a dictionary that elbeam does not carry; tokenize the files yourself and "
                 "use tokenizer none");
  }
  fail(ErrorCode::kUsage, "unknown tokenizer ", quoted(name),
       "; there are none, 13a, intl, char, zh, and with a model flores101, flores200, spm and "
       "spBLEU-1K");
}

std::string spread_characters(std::string_view line) {
  constexpr std::string_view kBlank = "\xe2\x96\x81";  // U+2581
  std::string out;
  for (std::size_t i = 0; i < line.size();) {
    const std::size_t length = text::utf8_unit(line, i).length;
    const std::string_view character = line.substr(i, length);
    out.append(out.empty() ? "" : " ").append(character == " " ? kBlank : character);
    i += length;
  }
  return out;
}

std::string join_words(std::string_view line) {
  std::string joined;
  for (const std::string_view word : text::split_words(line)) {
    joined.append(joined.empty() ? "" : " ").append(word);
  }
  return joined;
}

void decode_utf8(std::string_view bytes, std::vector<char32_t>& code_points) {
  code_points.clear();
  for (std::size_t i = 0; i < bytes.size();) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (byte < 0x80) {
      code_points.push_back(byte);
      ++i;
      continue;
    }
    const text::Utf8Unit unit = text::utf8_unit(bytes, i);
    code_points.push_back(unit.valid ? unit.code_point : U'\uFFFD');
    i += unit.length;
  }
}

std::string encode_utf8(const std::vector<char32_t>& code_points) {
  std::string out;
  out.reserve(code_points.size());
  for (const char32_t c : code_points) text::append_utf8(out, c);
  return out;
}

}  // namespace elbeam::eval
