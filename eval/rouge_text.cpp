#include "eval/rouge_text.hpp"

#include "base/check.hpp"

#include <array>

namespace elbeam::eval {
namespace {

// Lower case of ASCII letters and digits; 0 for every other byte.
constexpr std::array<char, 256> kLower = [] {
  std::array<char, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = static_cast<char>(c);
  for (int c = 'a'; c <= 'z'; ++c) {
    table[static_cast<std::size_t>(c)] = static_cast<char>(c);
    table[static_cast<std::size_t>(c - 'a' + 'A')] = static_cast<char>(c);
  }
  return table;
}();

constexpr std::string_view kKelvinSign = "\xe2\x84\xaa";  // U+212A, in lower case k
constexpr std::string_view kIWithDot = "\xc4\xb0";        // U+0130, in lower case i and U+0307
constexpr std::size_t kMaxKnownWords = std::size_t{1} << 20;

}  // namespace

void RougeTokenizer::start(const RougeWords& words, std::size_t bytes) {
  if (words.stemmer != words_.stemmer || known_stems_.size() > kMaxKnownWords) {
    known_stems_.clear();
  }
  words_ = words;
  ids_.clear();
  lower_.clear();
  lower_.reserve(bytes + 1);
}

std::string_view RougeTokenizer::stem(std::string_view word) {
  if (words_.stemmer == RougeStemmer::kNone || word.size() <= 3) return word;
  if (words_.exceptions != nullptr) {
    if (const std::string* irregular = words_.exceptions->find(word)) return *irregular;
  }
  const auto [known, fresh] = known_stems_.try_emplace(std::string(word));
  if (fresh) {
    known->second =
        words_.stemmer == RougeStemmer::kNltk ? nltk_stem(word) : rouge155_stem(std::string(word));
  }
  return known->second;
}

// The word that begins there in lower_ and ends where that ends.
void RougeTokenizer::add(std::size_t begin, RougeTokens& tokens) {
  if (begin == lower_.size()) return;
  tokens.words.push_back(ids_.id(stem(std::string_view(lower_).substr(begin))));
}

void RougeTokenizer::tokenize(std::string_view text, RougeTokens& tokens) {
  tokens.words.clear();
  tokens.sentences.assign(1, 0);
  std::size_t word = lower_.size();
  const auto end_word = [&] {
    add(word, tokens);
    word = lower_.size();
  };
  std::size_t line = 0;  // where it begins
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || text[i] == '\n') {
      end_word();
      if (i > line) tokens.sentences.push_back(tokens.words.size());
      line = i + 1;
      continue;
    }
    const char lower = kLower[static_cast<unsigned char>(text[i])];
    if (lower != 0) {
      lower_ += lower;
    } else if (words_.unicode_lower && text.substr(i).starts_with(kKelvinSign)) {
      lower_ += 'k';
      i += kKelvinSign.size() - 1;
    } else if (words_.unicode_lower && text.substr(i).starts_with(kIWithDot)) {
      lower_ += 'i';
      end_word();
      i += kIWithDot.size() - 1;
    } else {
      end_word();
    }
  }
}

Score mean_of_segments(std::span<const double> sums) {
  ELBEAM_INVARIANT(sums.size() == 4 && sums[3] > 0);
  Score result;
  result.precision = sums[0] / sums[3];
  result.recall = sums[1] / sums[3];
  result.fmeasure = result.score = sums[2] / sums[3];
  return result;
}

}  // namespace elbeam::eval
