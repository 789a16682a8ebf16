// The stemmer of ROUGE-1.5.5.pl (Porter's own Perl version, changed in step 4).
#include "base/check.hpp"
#include "eval/line_source.hpp"
#include "eval/stemmers.hpp"
#include "text/python_string.hpp"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <utility>

namespace elbeam::eval {
namespace {

bool is_vowel(char c) noexcept { return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u'; }

// The script's measures are regular expressions over runs
//   C = [^aeiou][^aeiouy]*   V = [aeiouy][aeiou]*
// in the order (C)? V C V C. A y may begin either run, so several readings of a word are followed
// at once: bit k says that one of them is inside run k.
struct Runs {
  unsigned at_end = 0;  // which runs a reading ends in
  unsigned seen = 0;    // which were reached anywhere
};

Runs read_runs(std::string_view word) noexcept {
  constexpr unsigned kConsonantRuns = 0b10101;
  constexpr unsigned kVowelRuns = 0b01010;
  constexpr unsigned kAll = 0b11111;
  Runs runs;
  unsigned inside = 0;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const bool vowel = is_vowel(word[i]);
    const bool y = word[i] == 'y';
    const unsigned stays = vowel ? kVowelRuns : y ? 0U : kConsonantRuns;
    const unsigned begins = vowel ? kVowelRuns : y ? kAll : kConsonantRuns;
    const unsigned next = i == 0 ? 0b00011U : inside << 1;
    inside = ((inside & stays) | (next & begins)) & kAll;
    runs.seen |= inside;
  }
  runs.at_end = inside;
  return runs;
}

bool has_vowel(std::string_view stem) noexcept { return (read_runs(stem).seen & 0b00010) != 0; }
bool measure_above_0(std::string_view stem) noexcept {
  return (read_runs(stem).seen & 0b00100) != 0;
}
bool measure_above_1(std::string_view stem) noexcept {
  return (read_runs(stem).seen & 0b10000) != 0;
}
bool measure_is_1(std::string_view stem) noexcept {
  return (read_runs(stem).at_end & 0b01100) != 0;
}

// ^C [aeiouy] [^aeiouwxy]$
bool is_cvc(std::string_view word) noexcept {
  if (word.size() < 3) return false;
  const char vowel = word[word.size() - 2];
  const char last = word.back();
  const bool ends = (is_vowel(vowel) || vowel == 'y') && !is_vowel(last) && last != 'w' &&
                    last != 'x' && last != 'y';
  return ends && (read_runs(word.substr(0, word.size() - 2)).at_end & 0b00001) != 0;
}

using Rules = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// The longest suffix of the rules that the word has; returns whether there is one.
bool find_longest(std::string_view word, const Rules& rules,
                  std::pair<std::string_view, std::string_view>& found) {
  found = {};
  for (const auto& rule : rules) {
    if (rule.first.size() > found.first.size() && word.ends_with(rule.first)) found = rule;
  }
  return !found.first.empty();
}

void apply(std::string& word, const Rules& rules, bool (*condition)(std::string_view)) {
  std::pair<std::string_view, std::string_view> rule;
  if (!find_longest(word, rules, rule)) return;
  const std::size_t stem = word.size() - rule.first.size();
  if (condition(std::string_view(word).substr(0, stem))) {
    word.replace(stem, std::string::npos, rule.second);
  }
}

void step1(std::string& word) {
  if (word.ends_with("sses") || word.ends_with("ies")) {
    word.resize(word.size() - 2);
  } else if (word.size() >= 2 && word.back() == 's' && word[word.size() - 2] != 's') {
    word.pop_back();
  }
  const std::string_view view = word;
  if (word.ends_with("eed")) {
    if (measure_above_0(view.substr(0, word.size() - 3))) word.pop_back();
  } else if (word.ends_with("ed") || word.ends_with("ing")) {
    const std::string_view stem = view.substr(0, word.size() - (word.ends_with("ed") ? 2 : 3));
    if (has_vowel(stem)) {
      word.resize(stem.size());
      const std::size_t n = word.size();
      constexpr std::string_view kNotDoubled = "aeiouylsz";
      if (word.ends_with("at") || word.ends_with("bl") || word.ends_with("iz")) {
        word += 'e';
      } else if (n >= 2 && word[n - 1] == word[n - 2] &&
                 kNotDoubled.find(word[n - 1]) == std::string_view::npos) {
        word.pop_back();
      } else if (is_cvc(word)) {
        word += 'e';
      }
    }
  }
  if (word.ends_with("y") && has_vowel(std::string_view(word).substr(0, word.size() - 1))) {
    word.back() = 'i';
  }
}

void steps2_and_3(std::string& word) {
  static const Rules kSecond = {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},
                                {"anci", "ance"},   {"izer", "ize"},    {"bli", "ble"},
                                {"alli", "al"},     {"entli", "ent"},   {"eli", "e"},
                                {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
                                {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"},
                                {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},
                                {"iviti", "ive"},   {"biliti", "ble"},  {"logi", "log"}};
  static const Rules kThird = {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"},
                               {"ical", "ic"},  {"ful", ""},   {"ness", ""}};
  apply(word, kSecond, measure_above_0);
  apply(word, kThird, measure_above_0);
}

void steps4_and_5(std::string& word) {
  static const Rules kFourth = {{"al", ""},    {"ance", ""}, {"ence", ""}, {"er", ""},
                                {"ic", ""},    {"able", ""}, {"ible", ""}, {"ant", ""},
                                {"ement", ""}, {"ou", ""},   {"ism", ""},  {"ate", ""},
                                {"iti", ""},   {"ous", ""},  {"ive", ""},  {"ize", ""}};
  apply(word, kFourth, measure_above_1);
  // These three one after the other, so that a word may lose more than one suffix.
  apply(word, {{"ment", ""}}, measure_above_1);
  if (word.ends_with("ent")) {
    apply(word, {{"ent", ""}}, measure_above_1);
  } else if (word.ends_with("sion") || word.ends_with("tion")) {
    if (measure_above_1(std::string_view(word).substr(0, word.size() - 3))) {
      word.resize(word.size() - 3);
    }
  }
  if (word.ends_with("e")) {
    const std::string_view stem = std::string_view(word).substr(0, word.size() - 1);
    if (measure_above_1(stem) || (measure_is_1(stem) && !is_cvc(stem))) word.pop_back();
  }
  if (word.ends_with("ll") && measure_above_1(word)) word.pop_back();
}

}  // namespace

std::string rouge155_stem(std::string word) {
  if (word.size() < 3) return word;
  const bool initial_y = word.front() == 'y';
  if (initial_y) word.front() = 'Y';  // no pattern takes it for a vowel
  step1(word);
  steps2_and_3(word);
  steps4_and_5(word);
  if (initial_y) word.front() = 'y';
  return word;
}

ExceptionList ExceptionList::load(const std::string& folder) {
  // What version 3.0 has and 2.0 has not. (Only a form's first stem counts, so that further ones,
  // where the versions differ as well, do not matter.)
  static const std::initializer_list<std::string_view> kNew = {
      "ashes",      "aurar",           "cognosenti", "diastemata",   "gps",
      "halfpence",  "houses_of_cards", "lisente",    "loups-garous", "morses",
      "optic_axes", "staretsy",        "sudatoria"};
  ELBEAM_CHECK(std::filesystem::exists(folder + "/adj.exc"), ErrorCode::kIo, "there is no ",
               quoted(folder + "/adj.exc"),
               ", where rouge155 with --rouge-stemmer looks irregular forms up; install Debian's "
               "wordnet-base, or name the folder of WordNet's *.exc with --rouge155-exceptions");
  ExceptionList list;
  for (const char* name : {"adj.exc", "adv.exc", "noun.exc", "verb.exc"}) {
    const bool nouns = std::string_view(name) == "noun.exc";
    LineSource lines(folder + "/" + name);
    for (std::string_view line; lines.next(line);) {
      const auto words = text::split_words(line);
      if (words.empty()) continue;
      ELBEAM_CHECK(words.size() >= 2, ErrorCode::kFormat, lines.name(), ":", lines.line_number(),
                   ": an irregular form and its stem are expected, found ", quoted(line));
      if (nouns && std::find(kNew.begin(), kNew.end(), words[0]) != kNew.end()) continue;
      list.stems_.insert_or_assign(std::string(words[0]), std::string(words[1]));
    }
  }
  return list;
}

const std::string* ExceptionList::find(std::string_view form) const {
  const auto found = stems_.find(std::string(form));
  return found == stems_.end() ? nullptr : &found->second;
}

}  // namespace elbeam::eval
