#include "eval/common_subsequence.hpp"
#include "eval/eval_testing.hpp"
#include "eval/perl_random.hpp"
#include "eval/stemmers.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <random>

namespace elbeam::eval::test {
namespace {

Score rouge(const char* type, const char* hypothesis, const Texts& references,
            bool stemmer = false) {
  std::vector<Texts> all;
  for (const std::string& reference : references) all.push_back({reference});
  return score_of(make_rouge({type, stemmer}), {hypothesis}, all);
}

// rouge_score's own tests and README.
TEST(RougeTest, PublishedExamples) {
  const Score one = rouge("1", "testing one two", {"testing"});
  EXPECT_DOUBLE_EQ(*one.precision, 1.0 / 3);
  EXPECT_DOUBLE_EQ(*one.recall, 1.0);
  EXPECT_DOUBLE_EQ(one.score, 0.5);
  EXPECT_DOUBLE_EQ(rouge("2", "testing one", {"testing one two"}).score, 2.0 / 3);
  EXPECT_DOUBLE_EQ(rouge("L", "testing one", {"testing one two"}).score, 0.8);
  EXPECT_DOUBLE_EQ(rouge("1", "", {"testing one two"}).score, 0.0);
  EXPECT_DOUBLE_EQ(rouge("1", "the first sentence", {"other", "first sentence"}).score, 0.8);
  // Lin 2004: the union of the subsequences of two sentences.
  const Score sum = rouge("Lsum", "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", {"w1 w2 w3 w4 w5"});
  EXPECT_DOUBLE_EQ(*sum.recall, 0.8);
  EXPECT_DOUBLE_EQ(*sum.precision, 0.4);
}

TEST(RougeTest, WordsAreRunsOfAsciiLettersAndDigits) {
  EXPECT_DOUBLE_EQ(rouge("1",
                         "A-b\xc3\xa9"
                         "c,42",
                         {"a b c 42"})
                       .score,
                   1.0);
  EXPECT_DOUBLE_EQ(rouge("1",
                         "\xe2\x84\xaa"
                         "m",
                         {"km"})
                       .score,
                   1.0);  // Kelvin sign
  EXPECT_DOUBLE_EQ(rouge("1",
                         "\xc4\xb0"
                         "stanbul",
                         {"i stanbul"})
                       .score,
                   1.0);  // I with a dot
}

TEST(RougeTest, Stemmers) {
  const std::pair<const char*, const char*> nltk[] = {
      {"flies", "fli"},       {"dies", "die"},        {"enjoy", "enjoy"},
      {"skies", "sky"},       {"agreed", "agre"},     {"feed", "feed"},
      {"hopping", "hop"},     {"falling", "fall"},    {"relational", "relat"},
      {"radically", "radic"}, {"adoption", "adopt"},  {"controlling", "control"},
      {"spied", "spi"},       {"owed", "owe"},        {"a", "a"},
      {"yyyy", "yyyi"},       {"geologi", "geolog"},  {"ÉTÉS", "ÉTÉS"},
      {"sing", "sing"},       {"communism", "commun"}};
  for (const auto& [word, stem] : nltk) EXPECT_EQ(nltk_stem(word), stem) << word;
  const std::pair<const char*, const char*> perl[] = {{"flies", "fli"},
                                                      {"enjoy", "enjoi"},
                                                      {"agreed", "agre"},
                                                      {"feed", "feed"},
                                                      {"hopping", "hop"},
                                                      {"relational", "relat"},
                                                      {"yes", "ye"},
                                                      {"replacement", "replac"},
                                                      {"controlling", "control"},
                                                      {"adoption", "adopt"},
                                                      {"toy", "toi"},
                                                      {"syzygies", "syzygi"}};
  for (const auto& [word, stem] : perl) EXPECT_EQ(rouge155_stem(word), stem) << word;
}

// The table is kept in pieces when it is large: the same hits as in one piece.
TEST(CommonSubsequenceTest, LargeTablesGiveTheSame) {
  std::mt19937 random(3);
  std::vector<std::uint32_t> a(3000);
  std::vector<std::uint32_t> b(2500);
  for (auto& word : a) word = static_cast<std::uint32_t>(random() % 40);
  for (auto& word : b) word = static_cast<std::uint32_t>(random() % 40);
  std::vector<char> hits(a.size(), 0);
  mark_common_subsequence(a, b, hits);
  const auto count = std::count(hits.begin(), hits.end(), 1);
  EXPECT_EQ(count, common_subsequence_length(a, b));
  // The plain textbook table, walked back in the same way.
  std::vector<std::vector<int>> table(a.size() + 1, std::vector<int>(b.size() + 1, 0));
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      table[i][j] = a[i - 1] == b[j - 1] ? table[i - 1][j - 1] + 1
                                         : std::max(table[i - 1][j], table[i][j - 1]);
    }
  }
  std::vector<char> expected(a.size(), 0);
  for (std::size_t i = a.size(), j = b.size(); i > 0 && j > 0;) {
    if (a[i - 1] == b[j - 1]) {
      expected[--i] = 1;
      --j;
    } else if (table[i][j - 1] > table[i - 1][j]) {
      --j;
    } else {
      --i;
    }
  }
  EXPECT_EQ(hits, expected);
}

// perl -e 'srand(7); printf("%.15f\n", rand(10)) for 1..3'
TEST(PerlRandomTest, GivesPerlsNumbers) {
  PerlRandom random(7);
  for (const double expected : {2.664441967654092, 6.820352301906212, 2.654905934269998})
    EXPECT_NEAR(random.below(10), expected, 1e-14);
}

TEST(RougeTest, BadOptions) {
  using elbeam::test::throws;
  EXPECT_TRUE(throws(ErrorCode::kUsage, "ROUGE type", [] { make_rouge({"0", false}); }));
  EXPECT_TRUE(throws(ErrorCode::kUsage, "ROUGE-1.5.5", [] {
    Rouge155Options options;
    options.type = "Q";
    make_rouge155(options);
  }));
  EXPECT_TRUE(throws(ErrorCode::kIo, "/nonexistent/adj.exc", [] {
    Rouge155Options options;
    options.stemmer = true;
    options.exceptions_folder = "/nonexistent";
    make_rouge155(options);
  }));
  EXPECT_TRUE(throws(ErrorCode::kIo, "/nonexistent", [] { make_meteor({"/nonexistent"}); }));
}

}  // namespace
}  // namespace elbeam::eval::test
