#include "search/topk.hpp"

#include "search_testing.hpp"

#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

namespace elbeam::search {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<std::int64_t> indices_of(std::span<const ScoredIndex> best) {
  std::vector<std::int64_t> indices;
  for (const ScoredIndex& element : best) indices.push_back(element.index);
  return indices;
}

std::vector<std::int64_t> topk_of(const std::vector<float>& values, std::int64_t k) {
  static constexpr float kNothing[] = {-0.0F};
  std::vector<ScoredIndex> workspace;
  return indices_of(topk({values, kNothing, ssize(values.size())}, k, workspace));
}

// What torch's source does, with the standard library's algorithms on pairs.
std::vector<std::int64_t> topk_of_library(const std::vector<float>& values, std::int64_t k) {
  std::vector<std::pair<float, std::int64_t>> queue;
  for (const float value : values) queue.emplace_back(value, ssize(queue.size()));
  const auto greater = [](const auto& x, const auto& y) {
    return (std::isnan(x.first) && !std::isnan(y.first)) || x.first > y.first;
  };
  if (k * 64 <= ssize(values.size())) {
    std::partial_sort(queue.begin(), queue.begin() + k, queue.end(), greater);
  } else {
    std::nth_element(queue.begin(), queue.begin() + k - 1, queue.end(), greater);
    std::sort(queue.begin(), queue.begin() + k - 1, greater);
  }
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < k; ++i) indices.push_back(queue[usize(i)].second);
  return indices;
}

// make_golden.py: write_topk
float golden_value(std::uint64_t random, std::uint64_t levels) {
  if (random % 23 == 0) return -kInf;
  if (random % 101 == 1) return kNan;
  return static_cast<float>((random >> 8) % levels);
}

TEST(TopK, SameAsTorch) {
  std::ifstream file(std::string(ELBEAM_TEST_DATA) + "/search/topk.golden");
  int compared = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#")) continue;
    std::istringstream fields(line);
    std::uint64_t seed = 0;
    std::uint64_t n = 0;
    std::int64_t k = 0;
    std::uint64_t levels = 0;
    std::uint64_t expected = 0;
    fields >> seed >> n >> k >> levels >> std::hex >> expected;
    ASSERT_TRUE(fields) << line;
    std::vector<float> values;
    for (std::uint64_t i = 0; i < n; ++i) {
      values.push_back(golden_value(test::HashScript::mix(seed, i), levels));
    }
    EXPECT_EQ(digest(topk_of(values, k)), expected) << line;
    ++compared;
  }
  EXPECT_GE(compared, 300);
}

TEST(TopK, SameAsTheLibrarysAlgorithms) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 12'000; ++i) {
    const std::int64_t n = 1 + static_cast<std::int64_t>(random() % (i % 10 == 0 ? 5'000 : 600));
    const std::int64_t few = std::max<std::int64_t>(1, n / 64);
    const std::int64_t bound = i % 3 == 0 ? n : few;
    const std::int64_t k =
        1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(bound));
    const std::uint64_t levels = std::uint64_t{1} << (random() % 12);
    std::vector<float> values;
    for (std::int64_t j = 0; j < n; ++j) {
      const std::uint64_t draw = random();
      float value = -static_cast<float>((draw >> 20) % levels);
      if (draw % 19 == 0) value = -kInf;
      if (draw % 211 == 1) value = kNan;
      values.push_back(value);
    }
    ASSERT_EQ(topk_of(values, k), topk_of_library(values, k)) << "n " << n << " k " << k;
  }
}

TEST(TopK, RowsAreOneArrayWithOffsets) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 500; ++i) {
    const std::int64_t rows = 1 + static_cast<std::int64_t>(random() % 6);
    const std::int64_t width = 1 + static_cast<std::int64_t>(random() % 300);
    std::vector<float> values;
    std::vector<float> offsets;
    std::vector<float> sums;
    for (std::int64_t row = 0; row < rows; ++row) {
      offsets.push_back(random() % 7 == 0 ? -kInf : -0.37F * static_cast<float>(random() % 9));
      for (std::int64_t v = 0; v < width; ++v) {
        values.push_back(-0.113F * static_cast<float>(random() % 50));
        sums.push_back(values.back() + offsets.back());
      }
    }
    std::vector<float> bounds(usize(rows * bound_count(width)), -kInf);
    for (std::int64_t v = 0; v < rows * width; ++v) {
      float& bound = bounds[usize(v / width * bound_count(width) + v % width / kBoundWidth)];
      bound = std::max(bound, values[usize(v)]);
    }
    for (const std::int64_t wanted : {std::int64_t{1}, std::int64_t{8}, rows * width}) {
      const std::int64_t k = std::min(wanted, rows * width);
      std::vector<ScoredIndex> workspace;
      const auto best = topk({values, offsets, width}, k, workspace);
      ASSERT_EQ(indices_of(best), topk_of_library(sums, k));
      for (const ScoredIndex& element : best) {
        ASSERT_TRUE(same_bits(element.score, sums[usize(element.index)]));
      }
      std::vector<ScoredIndex> other;
      const auto bounded = topk({values, offsets, width, width, bounds}, k, other);
      ASSERT_EQ(indices_of(bounded), indices_of(best));
    }
  }
}

TEST(TopK, TiesOfTorch) {
  // torch.topk(torch.zeros(40), 6) and (torch.zeros(1000), 6)
  EXPECT_EQ(topk_of(std::vector<float>(40, 0.0F), 6),
            (std::vector<std::int64_t>{25, 29, 28, 27, 26, 23}));
  EXPECT_EQ(topk_of(std::vector<float>(1000, 0.0F), 6),
            (std::vector<std::int64_t>{3, 4, 1, 0, 2, 5}));
}

TEST(TopK, RejectsImpossibleSizes) {
  const std::vector<float> values(10, 0.0F);
  const std::vector<float> offsets(2, 0.0F);
  std::vector<ScoredIndex> workspace;
  for (const std::int64_t k : {0, 11}) {
    EXPECT_EQ(code_of([&] { topk({values, offsets, 5}, k, workspace); }), ErrorCode::kInternal);
  }
  EXPECT_EQ(code_of([&] { topk({values, offsets, 6}, 1, workspace); }), ErrorCode::kInternal);
  EXPECT_EQ(code_of([&] { topk({values, offsets, 5, 4}, 1, workspace); }), ErrorCode::kInternal);
}

TEST(TopK, RowsMayStandApart) {
  std::mt19937_64 random(3);
  std::vector<ScoredIndex> workspace;
  for (const std::int64_t width : {5, 70, 900}) {
    for (const std::int64_t k : {1, 4, 13}) {
      const std::int64_t stride = width + ssize(random() % 200);
      std::vector<float> apart(usize(3 * stride), 1e9F);
      std::vector<float> packed;
      for (std::int64_t i = 0; i < 3 * width; ++i) {
        packed.push_back(-static_cast<float>(random() % 50));
        apart[usize(i / width * stride + i % width)] = packed.back();
      }
      const std::vector<float> offsets = {-1, -2, 0};
      const auto expected = topk({packed, offsets, width}, k, workspace);
      const std::vector<ScoredIndex> copy(expected.begin(), expected.end());
      const auto actual = topk({apart, offsets, width, stride}, k, workspace);
      for (std::size_t i = 0; i < copy.size(); ++i) {
        EXPECT_EQ(actual[i].index, copy[i].index);
        EXPECT_EQ(actual[i].score, copy[i].score);
      }
    }
  }
}

}  // namespace
}  // namespace elbeam::search
