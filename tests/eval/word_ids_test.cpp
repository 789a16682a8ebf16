#include "eval/word_ids.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace elbeam::eval {
namespace {

// Words of few letters, so that many are equal, share beginnings and ends, or differ in NUL bytes.
std::vector<std::string> random_words(std::size_t count, std::size_t longest,
                                      std::mt19937& random) {
  std::vector<std::string> words(count);
  for (std::string& word : words) {
    const std::size_t size = 1 + random() % longest;
    for (std::size_t i = 0; i < size; ++i) word += std::string("aab\0\xff", 5)[random() % 5];
  }
  return words;
}

std::vector<std::uint32_t> expected_ids(const std::vector<std::string>& words) {
  std::map<std::string, std::uint32_t> known;
  std::vector<std::uint32_t> ids;
  for (const std::string& word : words) {
    ids.push_back(known.try_emplace(word, static_cast<std::uint32_t>(known.size())).first->second);
  }
  return ids;
}

TEST(WordIds, EqualWordsHaveEqualNumbersThatCountUp) {
  std::mt19937 random(7);
  WordIds numbers;
  // The second is beyond what is kept from text to text, the last begins with the small table
  // again.
  for (const std::size_t count : {50UL, 300'000UL, 50UL, 2'000UL}) {
    const auto words = random_words(count, 24, random);
    numbers.clear();
    std::vector<std::uint32_t> ids;
    for (const std::string& word : words) ids.push_back(numbers.id(word));
    EXPECT_EQ(ids, expected_ids(words));
  }
}

TEST(WordIds, ManyWordsAtOnceAreNumberedAsOneByOne) {
  std::mt19937 random(8);
  WordIds numbers;
  for (const std::size_t count : {1UL, 200'000UL, 70UL}) {
    const auto words = random_words(count, 20, random);
    std::string letters;
    std::vector<std::size_t> edges;
    for (const std::string& word : words) {
      edges.push_back(letters.size());
      letters += word;
      edges.push_back(letters.size());
      letters += '!';
    }
    letters.append(WordIds::kPadding, '?');
    numbers.clear();
    std::vector<std::uint32_t> ids(count);
    numbers.find_padded(letters.data(), edges.data(), ids);
    EXPECT_EQ(ids, expected_ids(words));
    EXPECT_EQ(numbers.id(words.back()), ids.back());
  }
}

TEST(WordIds, TheEmptyWordIsAWord) {
  WordIds numbers;
  EXPECT_EQ(numbers.id("a"), 0U);
  EXPECT_EQ(numbers.id(""), 1U);
  EXPECT_EQ(numbers.id(std::string_view("\0", 1)), 2U);
  EXPECT_EQ(numbers.id(""), 1U);
}

}  // namespace
}  // namespace elbeam::eval
