// nltk/stem/porter.py, mode NLTK_EXTENSIONS, over code points.
#include "eval/stemmers.hpp"
#include "eval/tokenizers.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace elbeam::eval {
namespace {

using Word = std::vector<char32_t>;

bool is_vowel_letter(char32_t c) noexcept {
  return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

// A y is a consonant where the letter before it is none, and at the beginning.
bool is_consonant(const Word& word, std::size_t i) noexcept {
  bool negate = false;
  for (; word[i] == 'y' && i > 0; --i) negate = !negate;
  return !is_vowel_letter(word[i]) != negate;
}

// How many times a consonant follows a vowel among the first `size` letters: Porter's m.
int measure(const Word& word, std::size_t size) noexcept {
  int count = 0;
  bool before = true;  // a consonant
  for (std::size_t i = 0; i < size; ++i) {
    const bool consonant = word[i] == 'y' ? i == 0 || !before : !is_vowel_letter(word[i]);
    if (consonant && !before) ++count;
    before = consonant;
  }
  return count;
}

bool contains_vowel(const Word& word, std::size_t size) noexcept {
  for (std::size_t i = 0; i < size; ++i) {
    if (!is_consonant(word, i)) return true;
  }
  return false;
}

bool ends_double_consonant(const Word& word) noexcept {
  const std::size_t n = word.size();
  return n >= 2 && word[n - 1] == word[n - 2] && is_consonant(word, n - 1);
}

// The first `n` letters end consonant - vowel - consonant, the last not w, x or y; or they are a
// vowel and a consonant.
bool ends_cvc(const Word& word, std::size_t n) noexcept {
  if (n == 2) return !is_consonant(word, 0) && is_consonant(word, 1);
  if (n < 3) return false;
  const char32_t last = word[n - 1];
  return is_consonant(word, n - 3) && !is_consonant(word, n - 2) && is_consonant(word, n - 1) &&
         last != 'w' && last != 'x' && last != 'y';
}

bool ends_with(const Word& word, std::string_view suffix) noexcept {
  return word.size() >= suffix.size() &&
         std::equal(suffix.begin(), suffix.end(), word.end() - static_cast<long>(suffix.size()),
                    [](char a, char32_t b) { return static_cast<unsigned char>(a) == b; });
}

void replace_end(Word& word, std::size_t suffix, std::string_view replacement) {
  word.resize(word.size() - suffix);
  for (const char c : replacement) word.push_back(static_cast<unsigned char>(c));
}

struct Rule {
  std::string_view suffix;
  std::string_view replacement;
  std::size_t to_stem = 0;  // letters of the suffix that count as the stem's for its measure
};

// Applies the first rule whose suffix fits, if the stem's measure is above `above`; looks at no
// further rule either way.
void apply(Word& word, const Rule* begin, const Rule* end, int above) {
  const Rule* rule =
      std::find_if(begin, end, [&](const Rule& one) { return ends_with(word, one.suffix); });
  if (rule == end) return;
  const std::size_t stem = word.size() - rule->suffix.size();
  if (measure(word, stem + rule->to_stem) > above) {
    replace_end(word, rule->suffix.size(), rule->replacement);
  }
}

void step1a(Word& word) {
  if (ends_with(word, "ies") && word.size() == 4) {
    replace_end(word, 1, "");
  } else if (ends_with(word, "sses") || ends_with(word, "ies")) {
    replace_end(word, 2, "");
  } else if (ends_with(word, "s") && !ends_with(word, "ss")) {
    replace_end(word, 1, "");
  }
}

void step1b(Word& word) {
  if (ends_with(word, "ied")) return replace_end(word, word.size() == 4 ? 1 : 2, "");
  if (ends_with(word, "eed")) {
    if (measure(word, word.size() - 3) > 0) replace_end(word, 1, "");
    return;
  }
  std::size_t suffix = ends_with(word, "ed") ? 2 : 0;
  if (suffix != 0 && !contains_vowel(word, word.size() - suffix)) suffix = 0;
  if (suffix == 0 && ends_with(word, "ing") && contains_vowel(word, word.size() - 3)) suffix = 3;
  if (suffix == 0) return;
  replace_end(word, suffix, "");
  if (ends_with(word, "at") || ends_with(word, "bl") || ends_with(word, "iz")) {
    replace_end(word, 0, "e");
  } else if (ends_double_consonant(word)) {
    const char32_t last = word.back();
    if (last != 'l' && last != 's' && last != 'z') word.pop_back();
  } else if (measure(word, word.size()) == 1 && ends_cvc(word, word.size())) {
    replace_end(word, 0, "e");
  }
}

void step1c(Word& word) {
  const std::size_t n = word.size();
  if (ends_with(word, "y") && n > 2 && is_consonant(word, n - 2)) word.back() = 'i';
}

void step2(Word& word) {
  static constexpr Rule kRules[] = {
      {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},
      {"izer", "ize"},    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"},
      {"eli", "e"},       {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
      {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"}, {"fulness", "ful"},
      {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"},   {"biliti", "ble"},
      {"fulli", "ful"},   {"logi", "log", 1}};
  while (ends_with(word, "alli") && measure(word, word.size() - 4) > 0) replace_end(word, 2, "");
  apply(word, std::begin(kRules), std::end(kRules), 0);
}

void step3(Word& word) {
  static constexpr Rule kRules[] = {{"icate", "ic"}, {"ative", ""},  {"alize", "al"},
                                    {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""},
                                    {"ness", ""}};
  apply(word, std::begin(kRules), std::end(kRules), 0);
}

void step4(Word& word) {
  static constexpr Rule kRules[] = {
      {"al", ""},   {"ance", ""}, {"ence", ""},  {"er", ""},   {"ic", ""},  {"able", ""},
      {"ible", ""}, {"ant", ""},  {"ement", ""}, {"ment", ""}, {"ent", ""}, {"ou", ""},
      {"ism", ""},  {"ate", ""},  {"iti", ""},   {"ous", ""},  {"ive", ""}, {"ize", ""}};
  if (ends_with(word, "ion")) {  // no other suffix ends so
    const std::size_t stem = word.size() - 3;
    if (measure(word, stem) > 1 && (word[stem - 1] == 's' || word[stem - 1] == 't')) {
      replace_end(word, 3, "");
    }
    return;
  }
  apply(word, std::begin(kRules), std::end(kRules), 1);
}

void step5(Word& word) {
  if (ends_with(word, "e")) {
    const std::size_t stem = word.size() - 1;
    const int m = measure(word, stem);
    if (m > 1 || (m == 1 && !ends_cvc(word, stem))) word.pop_back();
  }
  if (ends_with(word, "ll") && measure(word, word.size() - 1) > 1) word.pop_back();
}

struct Irregular {
  std::string_view form;
  std::string_view stem;
};
constexpr std::array<Irregular, 16> kIrregular = {{{"sky", "sky"},
                                                   {"skies", "sky"},
                                                   {"dying", "die"},
                                                   {"lying", "lie"},
                                                   {"tying", "tie"},
                                                   {"news", "news"},
                                                   {"innings", "inning"},
                                                   {"inning", "inning"},
                                                   {"outings", "outing"},
                                                   {"outing", "outing"},
                                                   {"cannings", "canning"},
                                                   {"canning", "canning"},
                                                   {"howe", "howe"},
                                                   {"proceed", "proceed"},
                                                   {"exceed", "exceed"},
                                                   {"succeed", "succeed"}}};

}  // namespace

std::string nltk_stem(std::string_view text) {
  for (const Irregular& one : kIrregular) {
    if (text == one.form) return std::string(one.stem);
  }
  thread_local Word word;
  decode_utf8(text, word);
  if (word.size() <= 2) return std::string(text);
  step1a(word);
  step1b(word);
  step1c(word);
  step2(word);
  step3(word);
  step4(word);
  step5(word);
  return encode_utf8(word);
}

}  // namespace elbeam::eval
