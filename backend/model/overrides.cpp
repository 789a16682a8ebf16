#include "model/overrides.hpp"

#include "base/check.hpp"
#include "base/limits.hpp"

#include <nlohmann/json.hpp>

#include <charconv>
#include <cstdint>

namespace elbeam::model {
namespace {

using nlohmann::json;

void append_utf8(std::uint32_t code, std::string& out) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0U | code >> 6);
    put(0x80U | (code & 63U));
  } else if (code < 0x10000) {
    put(0xE0U | code >> 12);
    put(0x80U | (code >> 6 & 63U));
    put(0x80U | (code & 63U));
  } else {
    put(0xF0U | code >> 18);
    put(0x80U | (code >> 12 & 63U));
    put(0x80U | (code >> 6 & 63U));
    put(0x80U | (code & 63U));
  }
}

class LiteralParser {
 public:
  explicit LiteralParser(std::string_view text) : text_(text) {}

  json parse() {
    json value = parse_value(0);
    skip_blanks();
    if (at_ != text_.size()) expected("the end");
    return value;
  }

 private:
  [[noreturn]] void expected(const char* what) const {
    fail(ErrorCode::kUsage, "--model-overrides: expected ", what, " at character ", at_, " of ",
         quoted(text_));
  }
  void skip_blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string::npos)
      ++at_;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char wanted) {
    skip_blanks();
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  json parse_value(int depth) {
    if (depth > limits::kMaxConfigDepth) expected("fewer nested brackets");
    skip_blanks();
    const char c = peek();
    if (c == '{') return parse_dict(depth);
    if (c == '[') return parse_list('[', ']', depth);
    if (c == '(') return parse_list('(', ')', depth);
    if (c == '\'' || c == '"') return parse_string();
    if (take_word("True")) return true;
    if (take_word("False")) return false;
    if (take_word("None")) return nullptr;
    return parse_number();
  }

  json parse_dict(int depth) {
    json dict = json::object();
    ++at_;
    while (!take('}')) {
      skip_blanks();
      if (peek() != '\'' && peek() != '"') expected("a key in quotation marks or }");
      const std::string key = parse_string();
      if (!take(':')) expected(":");
      dict[key] = parse_value(depth + 1);
      if (take(',')) continue;
      if (take('}')) break;
      expected(", or }");
    }
    return dict;
  }

  // A tuple becomes a list; (x) is x.
  json parse_list(char open, char close, int depth) {
    json list = json::array();
    bool comma = false;
    ++at_;
    while (!take(close)) {
      list.push_back(parse_value(depth + 1));
      if (take(',')) {
        comma = true;
        continue;
      }
      if (take(close)) break;
      expected(open == '[' ? ", or ]" : ", or )");
    }
    if (open == '(' && !comma && list.size() == 1) return list.front();
    return list;
  }

  std::string parse_string() {
    const char quote = text_[at_++];
    std::string out;
    for (;;) {
      if (at_ >= text_.size() || text_[at_] == '\n') expected("the closing quotation mark");
      const char c = text_[at_++];
      if (c == quote) return out;
      if (c == '\\') {
        parse_escape(out);
      } else {
        out.push_back(c);
      }
    }
  }

  void parse_escape(std::string& out) {
    static constexpr std::string_view kNames = "\\'\"abfnrtv";
    static constexpr std::string_view kValues = "\\'\"\a\b\f\n\r\t\v";
    const char c = peek();
    if (const std::size_t i = kNames.find(c); c != '\0' && i != std::string_view::npos) {
      ++at_;
      out.push_back(kValues[i]);
    } else if (c == '\n') {
      ++at_;
    } else if (c == 'x' || c == 'u' || c == 'U') {
      ++at_;
      parse_code(c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, out);
    } else if (c >= '0' && c <= '7') {
      std::size_t digits = 1;
      while (digits < 3 && at_ + digits < text_.size() && text_[at_ + digits] >= '0' &&
             text_[at_ + digits] <= '7')
        ++digits;
      parse_code(digits, 8, out);
    } else {
      out.push_back('\\');  // as Python leaves it
    }
  }

  void parse_code(std::size_t digits, int base, std::string& out) {
    std::uint32_t code = 0;
    const std::string_view part = text_.substr(at_, digits);
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), code, base);
    if (part.size() != digits || error != std::errc() || end != part.data() + digits ||
        code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
      expected("the code of a character");
    at_ += digits;
    append_utf8(code, out);
  }

  json parse_number() {
    std::size_t end = at_;
    while (end < text_.size() &&
           std::string_view("+-.eE0123456789_").find(text_[end]) != std::string::npos)
      ++end;
    std::string digits;
    for (const char c : text_.substr(at_, end - at_)) {
      if (c != '_') digits.push_back(c);
    }
    const char* first = digits.data() + (digits.starts_with('+') ? 1 : 0);
    const char* last = digits.data() + digits.size();
    std::int64_t integer = 0;
    double real = 0.0;
    json value;
    if (const auto r = std::from_chars(first, last, integer);
        r.ec == std::errc() && r.ptr == last && first != last) {
      value = integer;
    } else if (const auto d = std::from_chars(first, last, real);
               d.ec == std::errc() && d.ptr == last && first != last) {
      value = real;
    } else {
      expected("a Python literal (a dict, list, string, number, True, False or None)");
    }
    at_ = end;
    return value;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

json parse_python_literal(std::string_view text) {
  ELBEAM_CHECK(std::ssize(text) <= limits::kMaxConfigBytes, ErrorCode::kUsage,
               "--model-overrides: ", text.size(), " bytes, at most ", limits::kMaxConfigBytes,
               " are read");
  return LiteralParser(text).parse();
}

void override_model_config(json& config, const std::string& overrides) {
  if (overrides.empty()) return;
  const json dict = parse_python_literal(overrides);
  ELBEAM_CHECK(dict.is_object(), ErrorCode::kUsage,
               "--model-overrides: expected a dict as in \"{'max_target_positions': 512}\", got ",
               quoted(overrides));
  const auto it = config.find("model");
  if (it == config.end() || !it->is_object()) return;
  it->update(dict);
  if (const auto nested = dict.find("model"); nested != dict.end() && nested->is_object())
    it->update(*nested);
}

}  // namespace elbeam::model
