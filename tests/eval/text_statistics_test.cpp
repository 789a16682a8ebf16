#include "eval/eval_testing.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

namespace elbeam::eval::test {
namespace {

double squad(std::unique_ptr<const Metric> metric, const char* hypothesis, const char* reference) {
  return score_of(std::move(metric), {hypothesis}, {{reference}}).score;
}

TEST(SquadTest, AnswersAreCompared) {
  EXPECT_EQ(squad(make_exact_match(), "The Cat.", "a cat"), 100.0);
  EXPECT_EQ(squad(make_exact_match(), "cat s", "cats"), 0.0);
  EXPECT_EQ(squad(make_exact_match(), "theatre", "atre"), 0.0);  // no article there
  EXPECT_EQ(squad(make_exact_match(), "", "the"), 100.0);
  EXPECT_EQ(squad(make_exact_match(),
                  "l\xe2\x80\x99"
                  "a b",
                  "l\xe2\x80\x99  b"),
            100.0);
  EXPECT_EQ(squad(make_exact_match(),
                  "\xc3\xa9"
                  "a",
                  "\xc3\xa9"),
            0.0);  // a letter before
  EXPECT_EQ(squad(make_token_f1(), "the big cat", "a cat sat"), 50.0);
  EXPECT_EQ(squad(make_token_f1(), "", ""), 0.0);  // as version 1.1
  EXPECT_EQ(score_of(make_token_f1(), {"x y"}, {{"x"}, {"y x"}}).score, 100.0);
}

double statistic(TextStatistic which, int order, const char* hypothesis, const char* source) {
  const auto metric = make_text_statistic(which, order);
  const std::string_view references[] = {"one two three four"};
  std::vector<double> numbers(metric->size());
  metric->measure({hypothesis, references, source}, numbers);
  return metric->score(numbers).score;
}

TEST(TextStatisticTest, CountsByHand) {
  using enum TextStatistic;
  EXPECT_EQ(statistic(kLengthRatio, 1, "a b", ""), 0.5);
  EXPECT_EQ(statistic(kDistinct, 1, "a b A c", ""), 0.75);
  EXPECT_EQ(statistic(kDistinct, 2, "a b a b", ""), 2.0 / 3);
  EXPECT_EQ(statistic(kRepetition, 2, "a b a b", ""), 1.0 / 3);
  EXPECT_EQ(statistic(kNovelty, 1, "a b c d", "A x b"), 0.5);
  EXPECT_EQ(statistic(kNovelty, 2, "a b c", "a b b c"), 0.0);
  EXPECT_EQ(statistic(kDistinct, 3, "a b", ""), 0.0);  // there are none
}

TEST(TextStatisticTest, FragmentsOfTheSource) {
  using enum TextStatistic;
  // Fragments "the cat sat" and "mat".
  EXPECT_EQ(statistic(kCoverage, 1, "The cat sat there mat", "so the cat sat on a mat"), 0.8);
  EXPECT_EQ(statistic(kDensity, 1, "The cat sat there mat", "so the cat sat on a mat"), 2.0);
  EXPECT_EQ(statistic(kCoverage, 1, "", "a"), 0.0);
}

TEST(TextStatisticTest, BadOrder) {
  EXPECT_TRUE(elbeam::test::throws(ErrorCode::kUsage, "order",
                                   [] { make_text_statistic(TextStatistic::kDistinct, 0); }));
}

}  // namespace
}  // namespace elbeam::eval::test
