#include "base/check.hpp"
#include "text/moses.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace elbeam::text {
namespace {

using Word = std::u32string_view;

bool all_of(Word word, Word characters) { return word.find_first_not_of(characters) == Word::npos; }

bool is_alpha(char32_t c) { return is_in(MosesClass::kDetokenizerAlpha, c); }

bool is_currency(Word word) {  // IS_CURRENCY_SYMBOL
  constexpr Word kOther = U"([{\u00bf\u00a1";
  return std::all_of(word.begin(), word.end(), [&](char32_t c) {
    return kOther.find(c) != Word::npos || is_in(MosesClass::kCurrency, c);
  });
}

bool ends_in_apostrophe(Word word) {  // IS_FRENCH_CONRTACTION
  return word.size() >= 2 && word.back() == U'\'' && is_alpha(word[word.size() - 2]);
}

bool is_ascii_number(Word word) { return all_of(word, U"0123456789"); }

// ^li$|^mail.* without regard to case
bool is_li_or_mail(Word word) {
  const auto begins = [word](Word with) {
    return word.size() >= with.size() &&
           std::equal(with.begin(), with.end(), word.begin(), [](char32_t lower, char32_t c) {
             return lower == c || lower - U'a' + U'A' == c;
           });
  };
  return (word.size() == 2 && begins(U"li")) || begins(U"mail");
}

std::u32string unescape(std::u32string text) {
  constexpr std::pair<Word, Word> kEntities[] = {
      {U"&bar;", U"|"}, {U"&#124;", U"|"}, {U"&lt;", U"<"},    {U"&gt;", U">"},
      {U"&bra;", U"["}, {U"&ket;", U"]"},  {U"&quot;", U"\""}, {U"&apos;", U"'"},
      {U"&#91;", U"["}, {U"&#93;", U"]"},  {U"&amp;", U"&"}};
  for (const auto& [entity, character] : kEntities) text = replace_all(text, entity, character);
  return text;
}

// The words of a line put together one after the other; the order of the questions matters.
class Joiner {
 public:
  Joiner(const std::vector<Word>& words, const std::optional<std::string>& language)
      : words_(words), language_(language.value_or("")) {}

  std::u32string run() {
    for (index_ = 0; index_ < words_.size(); ++index_) add();
    return std::move(text_);
  }

 private:
  enum class Side { kLeft, kRight, kNone };  // where the word has no blank

  void put(Side side) {
    if (side != Side::kLeft && blank_) text_ += U' ';
    text_.append(words_[index_]);
    blank_ = side != Side::kRight;
  }

  void add() {
    const Word word = words_[index_];
    if (is_cjk(word.front()) && language_ != "ko") {
      const bool after_cjk = index_ > 0 && is_cjk(words_[index_ - 1].back());
      put(after_cjk ? Side::kLeft : Side::kNone);
    } else if (is_currency(word)) {
      put(Side::kRight);
    } else if (all_of(word, U",.?!:;\\%}])")) {
      if (language_ == "fr" && word.size() == 1 && all_of(word, U"?!:;\\%")) text_ += U' ';
      put(Side::kLeft);
    } else if (is_english_contraction(word) || is_czech_decimal(word)) {
      put(Side::kLeft);
    } else if (is_elision(word)) {
      put(Side::kRight);
    } else if (all_of(word, U"'\"\u201e\u201c`")) {
      add_quote(word);
    } else {
      refuse_czech_dash(word);
      put(Side::kNone);  // a Finnish suffix, too: sacremoses only sets the blank before it
    }
  }

  bool is_english_contraction(Word word) const {
    return language_ == "en" && index_ > 0 && word.size() >= 2 && word[0] == U'\'' &&
           is_alpha(word[1]);
  }

  // sacremoses looks at the last words of the line here, not at those before this one.
  bool is_czech_decimal(Word word) const {
    return language_ == "cs" && index_ > 1 && is_ascii_number(words_[words_.size() - 2]) &&
           (words_.back() == U"." || words_.back() == U",") && is_ascii_number(word);
  }

  bool is_elision(Word word) const {
    const bool has_rule = language_ == "fr" || language_ == "it" || language_ == "ga";
    return has_rule && index_ + 1 < words_.size() && ends_in_apostrophe(word) &&
           is_alpha(words_[index_ + 1].front());
  }

  void refuse_czech_dash(Word word) const {
    const bool stops = language_ == "cs" && index_ + 2 < words_.size() &&
                       ends_in_apostrophe(word) &&
                       (words_[index_ + 1] == U"-" || words_[index_ + 1] == U"\u2013") &&
                       is_li_or_mail(words_[index_ + 2]);
    ELBEAM_CHECK(!stops, ErrorCode::kModel,
                 "moses detokenizer: sacremoses cannot join a Czech word that ends in an "
                 "apostrophe with a dash and 'li' or 'mail'");
  }

  void add_quote(Word word) {
    const bool double_quote = all_of(word, U"\u201e\u201c\u201d");
    std::int64_t& count = quotes_[double_quote ? std::u32string(U"\"") : std::u32string(word)];
    if (language_ == "cs" && word == U"\u201e") count = 0;
    if (language_ == "cs" && word == U"\u201c") count = 1;
    const bool possessive =
        language_ == "en" && word == U"'" && index_ > 0 && words_[index_ - 1].back() == U's';
    if (count % 2 == 0 && possessive) {
      put(Side::kLeft);
      return;
    }
    put(count % 2 == 0 ? Side::kRight : Side::kLeft);
    ++count;
  }

  const std::vector<Word>& words_;
  std::string language_;
  std::size_t index_ = 0;
  bool blank_ = true;  // before the next word
  std::map<std::u32string, std::int64_t> quotes_;
  std::u32string text_;
};

}  // namespace

std::u32string moses_detokenize(std::u32string_view tokens,
                                const std::optional<std::string>& language) {
  std::u32string text = U" ";
  for (const Word word : split_words(tokens)) text.append(word).append(U" ");
  text = unescape(replace_all(text, U" @-@ ", U"-"));
  const std::vector<Word> words = split_words(text);
  const std::u32string joined = Joiner(words, language).run();
  std::u32string out;
  for (const char32_t c : joined) {
    if (c != U' ' || out.empty() || out.back() != U' ') out += c;
  }
  return std::u32string(strip(out));
}

}  // namespace elbeam::text
