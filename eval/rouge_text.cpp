#include "eval/rouge_text.hpp"

#include "base/check.hpp"
#include "text/python_string.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace elbeam::eval {
namespace {

constexpr std::uint64_t each_byte(unsigned byte) noexcept { return byte * 0x0101010101010101ULL; }

struct EightBytes {
  std::uint64_t lower = 0;  // of those that are ASCII letters or digits; others do not matter
  std::uint64_t bits = 0;   // which they are: byte i in bit i
};

// Without a branch for each byte: that is what most of the time would go to.
inline EightBytes look_at_eight(std::uint64_t bytes) noexcept {
  const std::uint64_t seven_bits = bytes & each_byte(0x7f);
  const std::uint64_t lower = seven_bits | each_byte(0x20);
  // A sum of seven bits reaches the eighth from some byte on: one comparison of each byte.
  const auto from = [](std::uint64_t values, unsigned char least) {
    return values + each_byte(0x80U - least);
  };
  const std::uint64_t letter = from(lower, 'a') & ~from(lower, 'z' + 1);
  const std::uint64_t digit = from(seven_bits, '0') & ~from(seven_bits, '9' + 1);
  const std::uint64_t ones = ((letter | digit) & ~bytes) >> 7 & each_byte(1);
  return {lower, ones * 0x0102040810204080ULL >> 56};  // byte i's one moves to bit 56 + i
}

// The same for at most 64 bytes, whose lower case goes to `out`.
inline std::uint64_t lower_and_mark(std::string_view in, char* out) noexcept {
  std::uint64_t bits = 0;
  std::uint64_t bytes = 0;
  std::size_t i = 0;
  for (; i + 8 <= in.size(); i += 8) {
    std::memcpy(&bytes, in.data() + i, 8);
    const EightBytes eight = look_at_eight(bytes);
    std::memcpy(out + i, &eight.lower, 8);
    bits |= eight.bits << i;
  }
  if (i == in.size()) return bits;
  bytes = 0;
  std::memcpy(&bytes, in.data() + i, in.size() - i);
  const EightBytes rest = look_at_eight(bytes);
  std::memcpy(out + i, &rest.lower, in.size() - i);
  return bits | rest.bits << i;
}

constexpr std::string_view kKelvinSign = "\xe2\x84\xaa";  // U+212A, in lower case k
constexpr std::string_view kIWithDot = "\xc4\xb0";        // U+0130, in lower case i and U+0307
constexpr std::size_t kMaxKnownWords = std::size_t{1} << 18;

}  // namespace

void RougeTokenizer::start(const RougeWords& words, std::size_t bytes) {
  if (words.stemmer != words_.stemmer || stems_.size() > kMaxKnownWords) {
    known_.clear();
    stems_.clear();
  }
  words_ = words;
  ids_.clear();
  if (lower_.size() < bytes) lower_.resize(bytes);
  used_ = 0;
}

std::string_view RougeTokenizer::stem(std::string_view word) {
  if (word.size() <= 3) return word;
  if (words_.exceptions != nullptr) {
    if (const std::string* irregular = words_.exceptions->find(word)) return *irregular;
  }
  const std::uint32_t known = known_.id(word);
  if (known == stems_.size()) {
    stems_.push_back(words_.stemmer == RougeStemmer::kNltk ? nltk_stem(word)
                                                           : rouge155_stem(std::string(word)));
  }
  return stems_[known];
}

void RougeTokenizer::add_words(std::string_view line, RougeTokens& tokens) {
  ELBEAM_INVARIANT(line.size() <= lower_.size() - used_);
  char* const lower = lower_.data() + used_;
  used_ += line.size();
  const bool stems = words_.stemmer != RougeStemmer::kNone;
  std::uint64_t before = 0;  // 1: a word goes on from the 64 bytes before
  std::size_t word = 0;      // where it begins
  const auto end_word = [&](std::size_t end) {
    const std::string_view found(lower + word, end - word);
    tokens.words.push_back(ids_.id(stems ? stem(found) : found));
  };
  for (std::size_t i = 0; i < line.size(); i += 64) {
    const std::uint64_t bits = lower_and_mark(line.substr(i, 64), lower + i);
    // Where words begin and end, in turns.
    for (std::uint64_t edges = bits ^ (bits << 1 | before); edges != 0; edges &= edges - 1) {
      const std::size_t edge = i + static_cast<std::size_t>(std::countr_zero(edges));
      if ((bits >> (edge - i) & 1) != 0) {
        word = edge;
      } else {
        end_word(edge);
      }
    }
    before = bits >> 63;
  }
  if (before != 0 && line.size() % 64 == 0) end_word(line.size());
}

void RougeTokenizer::tokenize(std::string_view text, RougeTokens& tokens) {
  std::string replaced;
  if (words_.unicode_lower && (text.find(kKelvinSign) != std::string_view::npos ||
                               text.find(kIWithDot) != std::string_view::npos)) {
    replaced = text::replace_all(text::replace_all(text, kKelvinSign, "k"), kIWithDot, "i ");
    text = replaced;
  }
  tokens.words.clear();
  tokens.sentences.assign(1, 0);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) {
      add_words(text.substr(0, end), tokens);
      tokens.sentences.push_back(tokens.words.size());
    }
    text.remove_prefix(std::min(end + 1, text.size()));
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
