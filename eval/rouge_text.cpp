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

constexpr std::size_t kBlock = 64;

// The same for kBlock bytes, whose lower case goes to `out`.
inline std::uint64_t look_at_block(const char* in, char* out) noexcept {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < kBlock; i += 8) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, in + i, 8);
    const EightBytes eight = look_at_eight(bytes);
    std::memcpy(out + i, &eight.lower, 8);
    bits |= eight.bits << i;
  }
  return bits;
}

constexpr std::string_view kKelvinSign = "\xe2\x84\xaa";  // U+212A, in lower case k
constexpr std::string_view kIWithDot = "\xc4\xb0";        // U+0130, in lower case i and U+0307
// Of lower_: what is written and read behind a text's end.
constexpr std::size_t kPadding = kBlock;
static_assert(kPadding >= WordIds::kPadding);
constexpr std::size_t kMaxKnownWords = std::size_t{1} << 18;

}  // namespace

void RougeTokenizer::start(const RougeWords& words, std::size_t bytes) {
  if (words.stemmer != words_.stemmer || stems_.size() > kMaxKnownWords) {
    known_.clear();
    stems_.clear();
  }
  words_ = words;
  ids_.clear();
  if (lower_.size() < bytes + kPadding) lower_.resize(bytes + kPadding);
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

// Puts the text in lower case behind what is in lower_, and where its words begin and end, in
// turns, into edges_. Returns the number of words. Before any is looked at: loads of bytes that
// were stored just now would wait.
std::size_t RougeTokenizer::find_words(std::string_view text) {
  ELBEAM_INVARIANT(text.size() + kPadding <= lower_.size() - used_);
  char* const lower = lower_.data() + used_;
  if (edges_.size() < text.size() + 1) edges_.resize(text.size() + 1);
  std::size_t count = 0;
  std::uint64_t before = 0;  // 1: a word goes on from the block before
  const auto add_edges = [&](std::uint64_t bits, std::size_t place) {
    for (std::uint64_t edges = bits ^ (bits << 1 | before); edges != 0; edges &= edges - 1) {
      edges_[count++] = place + static_cast<std::size_t>(std::countr_zero(edges));
    }
    before = bits >> (kBlock - 1);
  };
  std::size_t i = 0;
  for (; i + kBlock <= text.size(); i += kBlock) {
    add_edges(look_at_block(text.data() + i, lower + i), i);
  }
  if (i < text.size()) {
    char rest[kBlock] = {};
    std::copy(text.begin() + static_cast<std::ptrdiff_t>(i), text.end(), rest);
    add_edges(look_at_block(rest, lower + i), i);
  }
  if (count % 2 != 0) edges_[count++] = text.size();
  used_ += text.size();
  return count / 2;
}

void RougeTokenizer::tokenize(std::string_view text, RougeTokens& tokens) {
  std::string replaced;
  if (words_.unicode_lower && (text.find(kKelvinSign) != std::string_view::npos ||
                               text.find(kIWithDot) != std::string_view::npos)) {
    replaced = text::replace_all(text::replace_all(text, kKelvinSign, "k"), kIWithDot, "i ");
    text = replaced;
  }
  const char* const lower = lower_.data() + used_;
  tokens.words.resize(find_words(text));
  if (words_.stemmer == RougeStemmer::kNone) {
    ids_.find_padded(lower, edges_.data(), tokens.words);
  } else {
    const std::size_t* edge = edges_.data();
    for (std::uint32_t& id : tokens.words) {
      id = ids_.id(stem({lower + edge[0], edge[1] - edge[0]}));
      edge += 2;
    }
  }
  tokens.sentences.assign(1, 0);
  std::size_t words = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    while (words < tokens.words.size() && edges_[2 * words] < end) ++words;
    if (end > begin) tokens.sentences.push_back(words);
    begin = end + 1;
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
