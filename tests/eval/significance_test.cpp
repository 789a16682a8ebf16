#include <elbeam/eval/significance.hpp>

#include "eval/eval_testing.hpp"
#include "eval/numpy_random.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

namespace elbeam::eval::test {
namespace {

// numpy.random.default_rng(12345).choice(1000, size=8, replace=True) and the like.
TEST(NumpyRandomTest, GivesNumpysNumbers) {
  NumpyRandom random(12345);
  for (const std::uint32_t expected : {699U, 227U, 788U, 316U, 204U, 797U, 642U, 676U}) {
    EXPECT_EQ(random.below(1000), expected);
  }
  NumpyRandom large_seed((std::uint64_t{1} << 40) + 3);
  for (const std::uint32_t expected : {5U, 5U, 3U, 6U, 2U, 3U, 2U, 0U}) {
    EXPECT_EQ(large_seed.below(7), expected);
  }
  NumpyRandom coins(12345);
  for (const char expected : std::string("1011100110000011111111110100110110110001")) {
    EXPECT_EQ(coins.coin(), expected == '1');
  }
}

struct Systems {
  std::unique_ptr<const Metric> metric = make_wer({});
  std::vector<std::vector<double>> numbers;  // [edits, words] of each segment
  std::vector<SystemStatistics> views;
};

// The second system makes one error more in every second segment.
Systems systems(std::size_t segments) {
  Systems out;
  out.numbers.resize(2);
  for (std::size_t i = 0; i < segments; ++i) {
    const auto errors = static_cast<double>(i % 3);
    out.numbers[0].insert(out.numbers[0].end(), {errors, 10.0});
    out.numbers[1].insert(out.numbers[1].end(), {errors + static_cast<double>(i % 2), 10.0});
  }
  out.views.assign(out.numbers.begin(), out.numbers.end());
  return out;
}

TEST(SignificanceTest, ThreadsDoNotChangeAnything) {
  const Systems two = systems(200);
  for (const auto test : {paired_bootstrap, approximate_randomization}) {
    const auto one_thread = test(*two.metric, two.views, {300, 1, 1});
    const auto three_threads = test(*two.metric, two.views, {300, 1, 3});
    EXPECT_EQ(one_thread[1].p_value, three_threads[1].p_value);
    EXPECT_EQ(one_thread[1].mean, three_threads[1].mean);
    EXPECT_FALSE(one_thread[0].p_value.has_value());
    EXPECT_EQ(one_thread[1].score, 15.0 - 0.05);  // 199 and 100 errors of 2,000 words
  }
}

TEST(SignificanceTest, RealAndAbsentDifferences) {
  const Systems two = systems(200);
  EXPECT_LT(*approximate_randomization(*two.metric, two.views, {1000, 12345, 0})[1].p_value, 0.01);
  const std::vector<SystemStatistics> same = {two.views[0], two.views[0]};
  EXPECT_EQ(*approximate_randomization(*two.metric, same, {1000, 12345, 0})[1].p_value, 1.0 / 1001);
  const auto interval = paired_bootstrap(*two.metric, same, {1000, 12345, 0});
  EXPECT_LT(*interval[0].low, interval[0].score);
  EXPECT_GT(*interval[0].high, interval[0].score);
  EXPECT_NEAR(*interval[0].mean, interval[0].score, 0.1);
  EXPECT_EQ(*interval[0].half_width, (*interval[0].high - *interval[0].low) / 2);
}

TEST(SignificanceTest, BadInput) {
  using elbeam::test::throws;
  const Systems two = systems(20);
  EXPECT_TRUE(throws(ErrorCode::kUsage, "samples", [&] {
    paired_bootstrap(*two.metric, two.views, {0, 1, 1});
  }));
  EXPECT_TRUE(throws(ErrorCode::kUsage, "no segments", [&] {
    paired_bootstrap(*two.metric, {}, {10, 1, 1});
  }));
  const std::vector<SystemStatistics> uneven = {two.views[0], two.views[1].first(20)};
  EXPECT_TRUE(throws(ErrorCode::kUsage, "20 and 10", [&] {
    approximate_randomization(*two.metric, uneven, {10, 1, 1});
  }));
}

}  // namespace
}  // namespace elbeam::eval::test
