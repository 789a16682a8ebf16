// The attention kernels on the device under test against plain attention in double precision.
#include "base/checked_math.hpp"
#include "device/device_array.hpp"
#include "kernels/launch_plan.hpp"

#include <algorithm>
#include <numeric>
#include <span>

namespace elbeam::kernels {
namespace {

// softmax(scale * q . k_t) v_t over the tokens that lists() names, in double.
template <typename T>
std::vector<double> attend(const T* query, const std::vector<const T*>& keys,
                           const std::vector<const T*>& values, int width, double scale) {
  std::vector<double> scores;
  double best = -INFINITY;
  for (const T* key : keys) {
    double score = 0.0;
    for (int c = 0; c < width; ++c)
      score +=
          scale * static_cast<double>(to_float(query[c])) * static_cast<double>(to_float(key[c]));
    scores.push_back(score);
    best = std::max(best, score);
  }
  double total = 0.0;
  for (double& score : scores) total += score = std::exp(score - best);
  std::vector<double> out(usize(width));
  for (std::size_t k = 0; k < keys.size(); ++k) {
    for (int c = 0; c < width; ++c)
      out[usize(c)] += scores[k] / total * static_cast<double>(to_float(values[k][c]));
  }
  return out;
}

constexpr int kSchedules[] = {0, 1, 2, 3, 4, 5};

// Runs launch() under every schedule (or two of them) and checks that the bits are the same.
template <typename T, typename Launch>
std::vector<T> run_schedules(DeviceArray<T>& out, std::size_t count, bool all, Launch&& launch) {
  std::vector<T> first;
  for (const int schedule : kSchedules) {
    if (!all && schedule != 0 && schedule != 2) continue;
    if (kTraced && schedule > 0) break;
    under_test::set_schedule(schedule);
    launch();
    const std::vector<T> now = out.host();
    if (schedule == 0) {
      first = now;
    } else {
      EXPECT_EQ(std::memcmp(first.data(), now.data(), count * sizeof(T)), 0)
          << "another result under schedule " << schedule;
    }
  }
  under_test::set_schedule(0);
  return first;
}

// Cross-attention of `sentences` sentences: EL (one copy, query_rows heads) or multi-head.
struct CrossCase {
  bool el = true;
  int heads = 1;
  int width = 8;  // d for EL, d_k for multi-head
  int parts = 1;
  bool all_schedules = false;
  int max_length = 40;
  float deviation = 0.3F;
  AttentionUnit unit = AttentionUnit::kPortable;
  bool causal = false;  // queries and keys are of the same tokens
};

DeviceLimits limits_of(AttentionUnit unit) {
  DeviceLimits limits;
  if (unit == AttentionUnit::kPortable) return limits;
  limits.tensor_cores = true;
  limits.warpgroups = unit == AttentionUnit::kWarpgroup;
  limits.all_shared_bytes = (limits.warpgroups ? 227 : 160) << 10;
  return limits;
}

// The sentences of a case: their tokens, rows and parts.
struct Sentences {
  std::vector<RowRange> rows_of;
  std::vector<KeyRange> ranges;
  std::vector<std::int32_t> parts_of_row;
  std::vector<int> lengths;
  int tokens = 0;
  int rows = 0;
};

Sentences make_sentences(const CrossCase& c, std::mt19937& random) {
  Sentences all;
  const int sentences = random_int(random, 1, 3);
  for (int s = 0; s < sentences; ++s) {
    const int length = random_int(random, 1, c.max_length);
    const int count = c.causal                                 ? length
                      : s > 0 && random_int(random, 0, 3) == 0 ? 0
                                                               : random_int(random, 1, 5);
    const int parts = std::min(c.parts, length);
    all.rows_of.push_back({all.rows, count});
    for (int p = 0; p < parts; ++p) {
      const int begin = length * p / parts;
      all.ranges.push_back({s, all.tokens + begin, length * (p + 1) / parts - begin, p, parts});
    }
    all.parts_of_row.insert(all.parts_of_row.end(), usize(count), parts);
    all.lengths.push_back(length);
    all.tokens += length;
    all.rows += count;
  }
  return all;
}

template <typename T>
struct CrossNumbers {
  std::vector<T> queries, keys, values;
  int d = 0;
  int query_rows = 1;
  int heads = 1;  // of block_z
  float scale = 1.0F;
};

template <typename T>
void verify_cross(const CrossCase& c, const Sentences& all, const CrossNumbers<T>& numbers,
                  const std::vector<T>& result) {
  int token = 0;
  double squares = 0.0;
  double errors = 0.0;
  for (std::size_t s = 0; s < all.lengths.size(); ++s) {
    for (int m = 0; m < all.rows_of[s].count * numbers.query_rows; ++m) {
      for (int head = 0; head < numbers.heads; ++head) {
        const int place =
            (all.rows_of[s].first * numbers.query_rows + m) * numbers.d + head * c.width;
        std::vector<const T*> k, v;
        for (int t = token; t < token + (c.causal ? m + 1 : all.lengths[s]); ++t) {
          k.push_back(numbers.keys.data() + t * numbers.d + head * c.width);
          v.push_back((c.el ? numbers.keys : numbers.values).data() + t * numbers.d +
                      head * c.width);
        }
        const auto wanted = attend(numbers.queries.data() + place, k, v, c.width,
                                   static_cast<double>(numbers.scale));
        for (int i = 0; i < c.width; ++i) {
          expect_close(result[usize(place + i)], wanted[usize(i)], 1.0, "cross-attention");
          if (testing::Test::HasFailure()) return;
          const double error =
              static_cast<double>(to_float(result[usize(place + i)])) - wanted[usize(i)];
          squares += wanted[usize(i)] * wanted[usize(i)];
          errors += error * error;
        }
      }
    }
    token += all.lengths[s];
  }
  EXPECT_LE(errors, 5e-4 * squares) << "normalised mean squared error";
}

template <typename T>
void check_cross(const CrossCase& c, std::mt19937& random) {
  const Sentences all = make_sentences(c, random);
  CrossNumbers<T> numbers;
  const int d = numbers.d = c.el ? c.width : c.heads * c.width;
  numbers.query_rows = c.el ? c.heads : 1;
  numbers.heads = c.el ? 1 : c.heads;
  numbers.scale = c.el ? 1.0F : 0.5F;
  const std::size_t count = usize(all.rows * numbers.query_rows * d);
  numbers.queries = random_numbers<T>(random, count, c.deviation);
  numbers.keys = random_numbers<T>(random, usize(all.tokens * d));
  numbers.values = random_numbers<T>(random, c.el ? 0 : usize(all.tokens * d));
  DeviceArray<T> queries(numbers.queries), keys(numbers.keys), values(numbers.values), out(count);
  DeviceArray<RowRange> rows_of(all.rows_of);
  DeviceArray<KeyRange> ranges(all.ranges);
  DeviceArray<std::int32_t> parts_of_row(all.parts_of_row);
  DeviceArray<float> partial(usize(c.parts) * count);
  DeviceArray<float> stats(2 * usize(c.parts * all.rows * c.heads));

  ContiguousArgs<T> args;
  args.ranges = ranges.data();
  args.rows_of = rows_of.data();
  args.queries = queries.data();
  args.keys = keys.data();
  args.values = c.el ? keys.data() : values.data();
  args.out = out.data();
  args.query_stride = args.key_stride = args.out_stride = d;
  args.query_rows = numbers.query_rows;
  args.width = c.width;
  args.head_stride = c.el ? 0 : c.width;
  args.scale = numbers.scale;
  args.partial = partial.data();
  args.partial_stats = stats.data();
  args.partial_rows = all.rows * numbers.query_rows;
  args.key_rows = all.tokens;
  const AttentionPlan plan =
      plan_contiguous({c.width, (c.causal ? c.max_length : 5) * numbers.query_rows, 5,
                       static_cast<int>(sizeof(T)), c.el},
                      limits_of(c.unit));
  EXPECT_EQ(plan.unit, c.unit);
  args.chunks = plan.chunks;
  args.row_blocks = random_int(random, 1, 2);
  args.tile_keys = plan.tile;
  // In one launch, or a third of them by slices of the rows, which may take a sentence's apart.
  const int middle = c.causal || all.tokens % 3 > 0 ? 0 : all.tokens / 3 % all.rows;
  const auto result = run_schedules(out, count, c.all_schedules, [&] {
    const auto& kernels = under_test::kernels<T>();
    for (const auto& [first, end] : {std::pair(0, middle), std::pair(middle, all.rows)}) {
      if (first == end) continue;
      ContiguousArgs<T> slice = args;
      slice.first_row = first;
      slice.end_row = end;
      slice.queries += first * args.query_rows * d;
      slice.out += first * args.query_rows * d;
      slice.partial_rows = (end - first) * args.query_rows;
      (c.causal ? kernels.causal[plan.geometry] : contiguous_launcher(kernels, plan))(
          slice, {static_cast<int>(all.ranges.size()) * plan.chunks * args.row_blocks, 1,
                  numbers.heads, plan.warps * 32, plan.shared_bytes});
      if (c.parts > 1) {
        kernels.merge(
            {partial.data(), stats.data(), parts_of_row.data() + first, slice.out, d,
             slice.partial_rows, args.query_rows, c.width, numbers.heads, args.head_stride},
            {(end - first) * args.query_rows, numbers.heads, 1, 64, 0});
      }
    }
  });
  verify_cross(c, all, numbers, result);
  expect_small_error();
}

constexpr int kElWidths[] = {8, 20, 33, 64, 96, 128, 200, 256, 300, 384, 512, 768, 1000, 1024};
constexpr int kHeadWidths[] = {3, 8, 16, 32, 40, 64, 80, 96, 128, 160, 256};

template <typename T>
int check_many_cross(unsigned seed) {
  std::mt19937 random(seed);
  int done = 0;
  for (const bool el : {true, false}) {
    const auto widths = el ? std::span<const int>(kElWidths) : std::span<const int>(kHeadWidths);
    for (const int width : widths) {
      for (const int parts : {1, 3}) {
        for (int i = 0; i < 5; ++i) {
          CrossCase c{el, random_int(random, 1, el ? 8 : 4), width, parts, i == 0, 40, 0.3F};
          if (width > 200) c.max_length = 15;
          check_cross<T>(c, random);
          if (testing::Test::HasFailure()) {
            ADD_FAILURE() << "EL " << el << ", width " << width << ", parts " << parts;
            return done;
          }
          ++done;
        }
      }
    }
  }
  return done;
}

TEST(CrossAttentionKernel, AgreesWithDoublePrecision) {
  int done = check_many_cross<float>(1);
  done += check_many_cross<Half>(2);
  done += check_many_cross<BFloat16>(3);
  EXPECT_GE(done, 700);
}

template <typename T>
int check_many_causal(unsigned seed) {
  std::mt19937 random(seed);
  int done = 0;
  for (const int width : kHeadWidths) {
    for (int i = 0; i < 6 && !testing::Test::HasFailure(); ++i, ++done) {
      const int length = width > 100 ? 20 : i == 0 ? 70 : 33;
      check_cross<T>({false, random_int(random, 1, 3), width, 1, i == 0, length, 0.3F,
                      AttentionUnit::kPortable, true},
                     random);
    }
    if (testing::Test::HasFailure()) ADD_FAILURE() << "width " << width;
  }
  return done;
}

// Each token attends to itself and to what comes before it in its sentence.
TEST(CausalAttentionKernel, AgreesWithDoublePrecision) {
  EXPECT_EQ(check_many_causal<float>(9), 66);
  EXPECT_EQ(check_many_causal<Half>(10), 66);
}

TEST(CrossAttentionKernel, WidthsBeyondTheRegistersAreChunked) {
  std::mt19937 random(4);
  for (const int width : {1025, 1536, 2048}) {
    check_cross<float>({true, 2, width, 1, true, 6, 0.1F}, random);
    check_cross<Half>({true, 3, width, 2, false, 6, 0.1F}, random);
  }
}

// Tiles of 64 keys, more of them than stages; blocks of 16, 32 and 64 rows, of which there may be
// several.
void vary(CrossCase& c, int i, std::mt19937& random) {
  constexpr int kHeads[] = {2, 3, 6, 9, 15};  // of which 5 hypotheses make 10 to 75 rows
  c.heads = kHeads[random_int(random, 0, 4)];
  if (i % 2 == 0) c.max_length = c.width > 520 || kTraced ? 80 : 280;
}

template <typename T>
int check_tensor_cores(unsigned seed, AttentionUnit unit) {
  constexpr int kWidths[] = {8, 40, 200, 256, 264, 512, 520, 768, 1000, 1024};
  std::mt19937 random(seed);
  int done = 0;
  for (const int width : kWidths) {
    for (const int parts : {1, 3}) {
      for (int i = 0; i < (kTraced ? 1 : 4); ++i) {
        CrossCase c{true, random_int(random, 2, 8), width, parts, i == 0, 40, 0.3F, unit};
        if (kTraced && width > 520) c.max_length = 17;
        if (unit == AttentionUnit::kWarpgroup) vary(c, i, random);
        check_cross<T>(c, random);
        if (testing::Test::HasFailure()) {
          ADD_FAILURE() << "width " << width << ", parts " << parts << ", heads " << c.heads;
          return done;
        }
        ++done;
      }
    }
  }
  return done;
}

TEST(TensorAttentionKernel, AgreesWithDoublePrecision) {
  constexpr int kCases = kTraced ? 20 : 80;
  EXPECT_EQ(check_tensor_cores<Half>(6, AttentionUnit::kTensor), kCases);
  EXPECT_EQ(check_tensor_cores<BFloat16>(7, AttentionUnit::kTensor), kCases);
}

TEST(WarpgroupAttentionKernel, AgreesWithDoublePrecision) {
  if (!under_test::has_warpgroups()) GTEST_SKIP() << "the device has no warpgroup products";
  constexpr int kCases = kTraced ? 20 : 80;
  EXPECT_EQ(check_tensor_cores<Half>(9, AttentionUnit::kWarpgroup), kCases);
  EXPECT_EQ(check_tensor_cores<BFloat16>(10, AttentionUnit::kWarpgroup), kCases);
}

// More tiles than stages, so that the barriers' phases come round; more rows than the blocks have.
TEST(WarpgroupAttentionKernel, ManyTilesAndRows) {
  if (!under_test::has_warpgroups()) GTEST_SKIP() << "the device has no warpgroup products";
  std::mt19937 random(13);
  for (int i = 0; i < 3; ++i) {
    check_cross<Half>({true, 40, 64, 1 + i % 2, i == 0, 350, 0.3F, AttentionUnit::kWarpgroup},
                      random);
    check_cross<Half>({true, 5, 528, 1 + i % 2, i == 0, 350, 0.3F, AttentionUnit::kWarpgroup},
                      random);
  }
}

TEST(TensorAttentionKernel, ManyTilesAndRows) {
  std::mt19937 random(14);
  for (int i = 0; i < 4; ++i)
    check_cross<Half>({true, 20, 64, 1 + i % 2, i == 0, 90, 0.3F, AttentionUnit::kTensor}, random);
}

TEST(WarpgroupAttentionKernel, ExtremeScores) {
  if (!under_test::has_warpgroups()) GTEST_SKIP() << "the device has no warpgroup products";
  std::mt19937 random(11);
  for (const float deviation : {0.0F, 10.0F, 100.0F})
    check_cross<Half>({true, 4, 64, 1, true, 100, deviation, AttentionUnit::kWarpgroup}, random);
}

TEST(TensorAttentionKernel, ExtremeScores) {
  std::mt19937 random(8);
  for (const float deviation : {0.0F, 10.0F, 100.0F})
    check_cross<Half>({true, 4, 64, 1, true, 40, deviation, AttentionUnit::kTensor}, random);
}

// What lies behind a sentence's last key comes with its last tile; it must not reach its results.
TEST(WarpgroupAttentionKernel, SentencesDoNotSeeTheirNeighbours) {
  if (!under_test::has_warpgroups()) GTEST_SKIP() << "the device has no warpgroup products";
  constexpr int kWidth = 72, kRows = 16, kLengths[] = {3, 61, 64, 65, 130};
  for (const int length : kLengths) {
    std::mt19937 random(12);
    const auto query = random_numbers<Half>(random, usize(kRows * kWidth), 0.3F);
    auto key = random_numbers<Half>(random, usize((length + 9) * kWidth));
    for (std::size_t i = usize(length * kWidth); i < key.size(); ++i) key[i] = Half{0x7e00};  // NaN
    DeviceArray<Half> queries(query), keys(key), out(query.size());
    DeviceArray<RowRange> rows_of(std::vector<RowRange>{{0, 1}});
    DeviceArray<KeyRange> ranges(std::vector<KeyRange>{{0, 0, length, 0, 1}});
    const AttentionPlan plan =
        plan_contiguous({kWidth, kRows, 1, 2, true}, limits_of(AttentionUnit::kWarpgroup));
    ContiguousArgs<Half> args;
    args.ranges = ranges.data();
    args.rows_of = rows_of.data();
    args.queries = queries.data();
    args.keys = args.values = keys.data();
    args.out = out.data();
    args.query_stride = args.key_stride = args.out_stride = args.width = kWidth;
    args.query_rows = kRows;
    args.partial_rows = kRows;
    args.key_rows = length + 9;
    args.tile_keys = plan.tile;
    contiguous_launcher(under_test::kernels<Half>(), plan)(
        args, {1, 1, 1, plan.warps * 32, plan.shared_bytes});
    for (const Half number : out.host())
      ASSERT_FALSE(std::isnan(to_float(number))) << length << " keys";
  }
}

// Scores of any size, and infinities and NaN where plain attention has them.
TEST(CrossAttentionKernel, ExtremeScores) {
  std::mt19937 random(5);
  for (const float deviation : {0.0F, 10.0F, 100.0F}) {
    check_cross<float>({true, 4, 64, 1, true, 40, deviation}, random);
    check_cross<float>({false, 4, 16, 3, true, 40, deviation}, random);
  }
}

}  // namespace
}  // namespace elbeam::kernels
