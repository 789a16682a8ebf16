#include "fairseq_bridge/argument_parser.hpp"

#include "base/check.hpp"
#include "text/python_string.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace elbeam::fairseq {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Removes the underscores that Python allows between digits; nullopt where one is elsewhere.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || !is_digit(text[i - 1]) || !is_digit(text[i + 1])) {
      return std::nullopt;
    }
  }
  return out;
}

// argparse's _negative_number_matcher: ^-\d+$|^-\d*\.\d+$
bool looks_like_negative_number(std::string_view text) {
  std::size_t i = 1;
  while (i < text.size() && is_digit(text[i])) ++i;
  if (i == text.size()) return i > 1;
  if (text[i] != '.') return false;
  const std::size_t fraction = ++i;
  while (i < text.size() && is_digit(text[i])) ++i;
  return i == text.size() && i > fraction;
}

std::string display_name(const FlagSpec& spec) {
  return spec.alias.empty() ? std::string(spec.name) : concat(spec.name, "/", spec.alias);
}

std::string choice_list(std::string_view choices) {
  std::string out = "'";
  for (const char c : choices) {
    if (c == '|') {
      out += "', '";
    } else {
      out += c;
    }
  }
  return out + "'";
}

bool is_choice(std::string_view choices, std::string_view value) {
  for (std::size_t begin = 0; begin <= choices.size();) {
    const std::size_t end = std::min(choices.find('|', begin), choices.size());
    if (choices.substr(begin, end - begin) == value) return true;
    begin = end + 1;
  }
  return false;
}

void check_value(const FlagSpec& spec, const std::string& value) {
  const bool is_int = spec.kind == FlagKind::kInt;
  if (is_int || spec.kind == FlagKind::kFloat) {
    const bool valid =
        is_int ? text::parse_int(value).has_value() : python_float(value).has_value();
    ELBEAM_CHECK(valid, ErrorCode::kUsage, "argument ", display_name(spec), ": invalid ",
                 is_int ? "int" : "float", " value: ", quoted(value));
  }
  ELBEAM_CHECK(spec.choices.empty() || is_choice(spec.choices, value), ErrorCode::kUsage,
               "argument ", display_name(spec), ": invalid choice: ", quoted(value),
               " (choose from ", choice_list(spec.choices), ")");
}

// What argparse's _parse_optional makes of one argument.
struct Token {
  bool is_option = false;
  const FlagSpec* spec = nullptr;             // nullptr: an option that nobody knows
  std::optional<std::string> explicit_value;  // --flag=value, -svalue
};

class Lookup {
 public:
  explicit Lookup(const std::vector<const FlagSpec*>& specs) {
    for (const FlagSpec* spec : specs) {
      by_name_.emplace(spec->name, spec);
      if (!spec->alias.empty()) by_name_.emplace(spec->alias, spec);
    }
  }

  Token classify(const std::string& argument) const {
    if (argument.size() < 2 || argument[0] != '-') return {};
    if (const FlagSpec* spec = find(argument)) return {true, spec, std::nullopt};
    if (const std::size_t equals = argument.find('='); equals != std::string::npos) {
      if (const FlagSpec* spec = find(argument.substr(0, equals))) {
        return {true, spec, argument.substr(equals + 1)};
      }
    }
    if (argument[1] != '-') {
      if (const FlagSpec* spec = find(argument.substr(0, 2))) {
        return {true, spec, argument.substr(2)};
      }
    }
    if (looks_like_negative_number(argument) || argument.find(' ') != std::string::npos) return {};
    return {true, nullptr, std::nullopt};
  }

 private:
  const FlagSpec* find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }

  std::map<std::string_view, const FlagSpec*, std::less<>> by_name_;
};

}  // namespace

std::optional<double> python_float(std::string_view input) {
  const std::optional<std::string> number = without_underscores(text::strip(input));
  if (!number || number->empty()) return std::nullopt;
  const bool negative = number->front() == '-';
  std::string body = number->substr(negative || number->front() == '+' ? 1 : 0);
  std::transform(body.begin(), body.end(), body.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const double sign = negative ? -1.0 : 1.0;
  if (body == "inf" || body == "infinity") return sign * std::numeric_limits<double>::infinity();
  if (body == "nan") return sign * std::numeric_limits<double>::quiet_NaN();
  // from_chars also knows "nan(...)" and so on, which Python does not.
  if (body.empty() || (!is_digit(body.front()) && body.front() != '.')) return std::nullopt;
  double value = 0.0;
  const auto result = std::from_chars(body.data(), body.data() + body.size(), value);
  if (result.ptr != body.data() + body.size() || result.ec == std::errc::invalid_argument) {
    return std::nullopt;
  }
  ELBEAM_CHECK(result.ec == std::errc(), ErrorCode::kUsage, "number out of range: ", quoted(input));
  return sign * value;
}

const FlagSpec& ParsedFlags::spec(std::string_view name) const {
  const auto found = specs_.find(name);
  ELBEAM_INVARIANT(found != specs_.end());
  return *found->second;
}

bool ParsedFlags::given(std::string_view name) const {
  spec(name);
  return values_.find(name) != values_.end();
}

std::optional<std::string> ParsedFlags::text(std::string_view name) const {
  const FlagSpec& flag = spec(name);
  if (const auto found = values_.find(name); found != values_.end()) return found->second;
  if (flag.default_value.empty()) return std::nullopt;
  return std::string(flag.default_value);
}

std::optional<std::int64_t> ParsedFlags::integer(std::string_view name) const {
  ELBEAM_INVARIANT(spec(name).kind == FlagKind::kInt);
  const std::optional<std::string> value = text(name);
  return value ? text::parse_int(*value) : std::nullopt;
}

std::optional<double> ParsedFlags::real(std::string_view name) const {
  ELBEAM_INVARIANT(spec(name).kind == FlagKind::kFloat);
  const std::optional<std::string> value = text(name);
  return value ? python_float(*value) : std::nullopt;
}

ParsedFlags parse_arguments(const std::vector<std::string>& arguments,
                            const std::vector<const FlagSpec*>& specs) {
  const Lookup lookup(specs);
  ParsedFlags parsed;
  for (const FlagSpec* spec : specs) parsed.specs_.emplace(spec->name, spec);
  bool only_positionals = false;  // after "--"
  bool has_data = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!only_positionals && argument == "--") {
      only_positionals = true;
      continue;
    }
    const Token token = only_positionals ? Token{} : lookup.classify(argument);
    if (!token.is_option) {
      if (has_data) {
        parsed.unrecognized_.push_back(argument);
      } else {
        parsed.data_ = argument;
        has_data = true;
      }
      continue;
    }
    if (token.spec == nullptr) {
      parsed.unrecognized_.push_back(argument);
      continue;
    }
    const FlagSpec& spec = *token.spec;
    std::string value(spec.constant);
    if (spec.arity == Arity::kNone) {
      ELBEAM_CHECK(!token.explicit_value, ErrorCode::kUsage, "argument ", display_name(spec),
                   ": ignored explicit argument ", quoted(*token.explicit_value));
    } else if (token.explicit_value) {
      value = *token.explicit_value;
    } else if (i + 1 < arguments.size() && arguments[i + 1] != "--" &&
               !lookup.classify(arguments[i + 1]).is_option) {
      value = arguments[++i];
    } else {
      ELBEAM_CHECK(spec.arity == Arity::kOptional, ErrorCode::kUsage, "argument ",
                   display_name(spec), ": expected one argument");
    }
    if (spec.arity != Arity::kNone) check_value(spec, value);
    parsed.values_.insert_or_assign(std::string(spec.name), value);
  }
  return parsed;
}

}  // namespace elbeam::fairseq
