#include "text/moses.hpp"

#include "base/check.hpp"
#include "base/limits.hpp"
#include "text/bpe_encodings.hpp"
#include "text/python_string.hpp"
#include "text/utf8.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <unordered_set>

namespace elbeam::text {
namespace {

namespace fs = std::filesystem;

// The languages that Moses has abbreviations for; every other one gets those of English.
constexpr std::array kLanguages = {"as", "bn",  "ca", "cs", "de", "el",  "en",  "es", "et", "fi",
                                   "fr", "ga",  "gu", "hi", "hu", "is",  "it",  "kn", "lt", "lv",
                                   "ml", "mni", "mr", "nl", "or", "pa",  "pl",  "pt", "ro", "ru",
                                   "sk", "sl",  "sv", "ta", "te", "tdt", "yue", "zh"};
constexpr std::string_view kNumericOnly = "#NUMERIC_ONLY#";

std::u32string decoded(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Unit unit = utf8_unit(text, i);
    out += unit.code_point;
    i += unit.length;
  }
  return out;
}

std::string encoded(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t character : text) append_utf8(out, character);
  return out;
}

fs::path prefix_folder() {
  std::vector<fs::path> tried;
  if (const char* share = std::getenv("ELBEAM_SHARE")) {
    tried.emplace_back(share);
  } else {
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error).parent_path();
    // Installed in bin, with share beside it; and in a build folder inside the source.
    tried = {program / "../share/elbeam", program / "../../share"};
  }
  for (const fs::path& share : tried) {
    std::error_code error;
    if (fs::is_directory(share / "nonbreaking_prefixes", error)) {
      return share / "nonbreaking_prefixes";
    }
  }
  fail(ErrorCode::kIo, "--tokenizer moses: no folder nonbreaking_prefixes in ",
       tried.front().string(), "; set ELBEAM_SHARE to the folder that holds it");
}

struct Prefixes {
  std::unordered_set<std::string> all;           // lines of the lists, remarks included
  std::unordered_set<std::string> numeric_only;  // "No" of a line "No #NUMERIC_ONLY#"
};

void read_prefixes(const fs::path& path, Prefixes& prefixes) {
  const std::string content = read_utf8_file(path.string(), limits::kMaxConfigBytes);
  for (const std::string_view raw : text_lines(content)) {
    const std::string_view line = strip(raw);
    if (line.empty() || line[0] == '#') continue;
    prefixes.all.emplace(line);
    // sacremoses: a white space before the remark, and what stands before the last blank.
    const std::size_t remark = line.find(kNumericOnly);
    const bool separate = remark != std::string_view::npos && remark > 0 &&
                          strip_right(line.substr(0, remark)).size() < remark;
    if (!separate) continue;
    const std::size_t blank = line.rfind(' ');
    prefixes.numeric_only.emplace(line.substr(0, blank == std::string_view::npos ? 0 : blank));
  }
}

Prefixes prefixes_of(const std::optional<std::string>& language) {
  const fs::path folder = prefix_folder();
  Prefixes prefixes;
  const auto read = [&](const std::string& name) {
    read_prefixes(folder / ("nonbreaking_prefix." + name), prefixes);
  };
  if (!language) {
    for (const char* name : kLanguages) read(name);
    return prefixes;
  }
  const bool known = std::find(kLanguages.begin(), kLanguages.end(), *language) != kLanguages.end();
  read(known ? *language : "en");
  return prefixes;
}

// re.sub() of a pattern of as many single characters as `matches` has tests, each found occurrence
// replaced by what `replace` appends.
template <std::size_t n, typename Test, typename Replace>
std::u32string substitute(std::u32string_view text, const std::array<Test, n>& matches,
                          const Replace& replace) {
  std::u32string out;
  out.reserve(text.size() + text.size() / 8);
  std::size_t i = 0;
  while (i < text.size()) {
    bool found = i + n <= text.size();
    for (std::size_t k = 0; found && k < n; ++k) found = matches[k](text[i + k]);
    if (found) {
      replace(text.substr(i, n), out);
      i += n;
    } else {
      out += text[i++];
    }
  }
  return out;
}

bool is_alpha(char32_t c) { return is_in(MosesClass::kTokenizerAlpha, c); }
bool is_not_alpha(char32_t c) { return !is_alpha(c); }
bool is_number(char32_t c) { return is_in(MosesClass::kNumber, c); }
bool is_not_number(char32_t c) { return !is_number(c); }
bool is_neither(char32_t c) { return !is_alpha(c) && !is_number(c); }
bool is_apostrophe(char32_t c) { return c == U'\''; }
bool is_comma(char32_t c) { return c == U','; }
bool is_s(char32_t c) { return c == U's'; }

using Test = bool (*)(char32_t);

// sacremoses/tokenize.py: MosesTokenizer.tokenize(), MosesDetokenizer.detokenize().
class Moses final : public Encoder {
 public:
  explicit Moses(const TokenizerOptions& options)
      : options_(options), prefixes_(prefixes_of(options.source_lang)) {
    const std::string language = options.source_lang.value_or("");
    if (language == "ko" || language == "cjk") more_letters_ = {MosesClass::kHangul};
    if (language == "zh" || language == "cjk") more_letters_.push_back(MosesClass::kHan);
    if (language == "ja" || language == "cjk") {
      more_letters_.insert(more_letters_.end(),
                           {MosesClass::kHiragana, MosesClass::kKatakana, MosesClass::kHan});
    }
  }

  std::string encode(std::string_view line) const override {
    require_utf8(line);
    std::u32string text = decoded(single_blanks(line));
    std::erase_if(text, [](char32_t c) { return c < 0x20; });
    text = std::u32string(strip(text));
    text = separate_symbols(text);
    if (!options_.moses_no_dash_splits) text = split_dashes(text);
    text = mark_dots(text);
    text = separate_commas(text);
    text = separate_apostrophes(text);
    text = separate_full_stops(text);
    text = separate_last_apostrophe(std::move(text));
    text = restore_dots(text);
    return options_.moses_no_escape ? encoded(text) : escape(encoded(text));
  }

  std::string decode(std::string_view pieces) const override {
    require_utf8(pieces);
    return encoded(moses_detokenize(decoded(pieces), options_.target_lang));
  }

 private:
  bool is_more(char32_t c) const {
    return std::any_of(more_letters_.begin(), more_letters_.end(),
                       [c](MosesClass letters) { return is_in(letters, c); });
  }
  bool is_alnum(char32_t c) const { return is_in(MosesClass::kTokenizerAlnum, c) || is_more(c); }

  // PAD_NOT_ISALNUM
  std::u32string separate_symbols(std::u32string_view text) const {
    constexpr std::u32string_view kKept = U".'`,-";
    std::u32string out;
    for (const char32_t c : text) {
      const bool kept = kKept.find(c) != kKept.npos || is_space(c) || is_alnum(c);
      if (!kept) out += U' ';
      out += c;
      if (!kept) out += U' ';
    }
    return out;
  }

  // AGGRESSIVE_HYPHEN_SPLIT
  std::u32string split_dashes(std::u32string_view text) const {
    std::u32string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool between = text[i] == U'-' && i > 0 && i + 1 < text.size() &&
                           is_alnum(text[i - 1]) && is_alnum(text[i + 1]);
      if (between) {
        out += U" @-@ ";
      } else {
        out += text[i];
      }
    }
    return out;
  }

  // replace_multidots
  static std::u32string mark_dots(std::u32string_view text) {
    std::u32string out;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t end = std::min(text.find_first_not_of(U'.', i), text.size());
      if (end < i + 2) {
        out += text[i++];
        continue;
      }
      out += U' ';
      for (; i < end; ++i) out += U"DOT";
      out += U"MULTI";
      if (end < text.size()) out += U' ';
    }
    return out;
  }

  // restore_multidots: (?:DOT)+MULTI, also where the text itself had it.
  static std::u32string restore_dots(std::u32string_view text) {
    std::u32string out;
    for (std::size_t i = 0; i < text.size();) {
      std::size_t end = i;
      while (text.substr(end, 3) == U"DOT") end += 3;
      const std::size_t dots = (end - i) / 3;
      if (dots > 0 && text.substr(end, 5) == U"MULTI") {
        out.append(dots, U'.');
        i = end + 5;
      } else if (dots > 0) {
        // No later part of this run can be followed by MULTI either.
        out.append(text.substr(i, end - i));
        i = end;
      } else {
        out += text[i++];
      }
    }
    return out;
  }

  // COMMA_SEPARATE_1, _2, _3
  static std::u32string separate_commas(std::u32string text) {
    text = substitute(text, std::array<Test, 2>{is_not_number, is_comma},
                      [](std::u32string_view found, std::u32string& out) {
                        out.append(found.substr(0, 1)).append(U" , ");
                      });
    text = substitute(text, std::array<Test, 2>{is_comma, is_not_number},
                      [](std::u32string_view found, std::u32string& out) {
                        out.append(U" , ").append(found.substr(1));
                      });
    if (text.size() >= 2 && is_comma(text.back()) && is_number(text[text.size() - 2])) {
      text.pop_back();
      text += U" , ";
    }
    return text;
  }

  std::u32string separate_apostrophes(std::u32string text) const {
    const auto around = [&text](Test before, Test after, std::u32string_view apostrophe) {
      text = substitute(text, std::array<Test, 3>{before, is_apostrophe, after},
                        [apostrophe](std::u32string_view found, std::u32string& out) {
                          out.append(found.substr(0, 1)).append(apostrophe).append(found.substr(2));
                        });
    };
    const std::string language = options_.source_lang.value_or("");
    if (language == "en") {
      around(is_not_alpha, is_not_alpha, U" ' ");
      around(is_neither, is_alpha, U" ' ");
      around(is_alpha, is_not_alpha, U" ' ");
      around(is_alpha, is_alpha, U" '");
      around(is_number, is_s, U" '");
    } else if (language == "fr" || language == "it") {
      around(is_not_alpha, is_not_alpha, U" ' ");
      around(is_not_alpha, is_alpha, U" ' ");
      around(is_alpha, is_not_alpha, U" ' ");
      around(is_alpha, is_alpha, U"' ");
    } else {
      text = replace_all(text, U"'", U" ' ");
    }
    return text;
  }

  bool keeps_full_stop(std::u32string_view prefix, const std::u32string_view* next) const {
    const auto is_letter = [this](char32_t c) { return is_alpha(c) || is_more(c); };
    if (prefix.find(U'.') != prefix.npos && std::any_of(prefix.begin(), prefix.end(), is_letter)) {
      return true;
    }
    const std::string word = encoded(prefix);
    const bool numeric_only = prefixes_.numeric_only.count(word) != 0;
    if (prefixes_.all.count(word) != 0 && !numeric_only) return true;
    if (next == nullptr) return false;
    const char32_t first = next->front();
    return is_in(MosesClass::kLower, first) || (numeric_only && first >= U'0' && first <= U'9');
  }

  // handles_nonbreaking_prefixes
  std::u32string separate_full_stops(std::u32string_view text) const {
    const std::vector<std::u32string_view> tokens = split_words(text);
    std::u32string out;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0) out += U' ';
      const std::u32string_view token = tokens[i];
      const std::u32string_view* next = i + 1 < tokens.size() ? &tokens[i + 1] : nullptr;
      if (token.size() < 2 || token.back() != U'.' ||
          keeps_full_stop(token.substr(0, token.size() - 1), next)) {
        out.append(token);
      } else {
        out.append(token.substr(0, token.size() - 1)).append(U" .");
      }
    }
    return out;
  }

  // TRAILING_DOT_APOSTROPHE; the blank at the end stays, as in sacremoses.
  static std::u32string separate_last_apostrophe(std::u32string text) {
    if (text.size() < 2 || text.compare(text.size() - 2, 2, U".'") != 0) return text;
    text.resize(text.size() - 2);
    return text + U" . ' ";
  }

  static std::string escape(std::string text) {
    constexpr std::pair<std::string_view, std::string_view> kEntities[] = {
        {"&", "&amp;"},  {"|", "&#124;"},  {"<", "&lt;"},  {">", "&gt;"},
        {"'", "&apos;"}, {"\"", "&quot;"}, {"[", "&#91;"}, {"]", "&#93;"}};
    for (const auto& [character, entity] : kEntities) text = replace_all(text, character, entity);
    return text;
  }

  TokenizerOptions options_;
  Prefixes prefixes_;
  std::vector<MosesClass> more_letters_;  // of Chinese, Japanese and Korean
};

}  // namespace

std::unique_ptr<Encoder> make_moses(const TokenizerOptions& options) {
  return std::make_unique<Moses>(options);
}

std::vector<std::u32string_view> split_words(std::u32string_view text) {
  std::vector<std::u32string_view> words;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && !is_space(text[i])) continue;
    if (i > begin) words.push_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  return words;
}

std::u32string replace_all(std::u32string_view text, std::u32string_view from,
                           std::u32string_view to) {
  std::u32string out;
  std::size_t begin = 0;
  for (std::size_t hit = text.find(from); hit != text.npos; hit = text.find(from, begin)) {
    out.append(text.substr(begin, hit - begin)).append(to);
    begin = hit + from.size();
  }
  return out.append(text.substr(begin));
}

std::u32string_view strip(std::u32string_view text) noexcept {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace elbeam::text
