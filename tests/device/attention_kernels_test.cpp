// The attention kernels on the emulated machine against plain attention in double precision.
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
      score += scale * static_cast<double>(to_float(query[c])) * static_cast<double>(to_float(key[c]));
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
    emulated::set_schedule(schedule);
    launch();
    const std::vector<T> now = out.host();
    if (schedule == 0) {
      first = now;
    } else {
      EXPECT_EQ(std::memcmp(first.data(), now.data(), count * sizeof(T)), 0)
          << "another result under schedule " << schedule;
    }
  }
  emulated::set_schedule(0);
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
};

template <typename T>
void check_cross(const CrossCase& c, std::mt19937& random) {
  const int sentences = random_int(random, 1, 3);
  std::vector<RowRange> rows_of;
  std::vector<KeyRange> ranges;
  std::vector<std::int32_t> parts_of_row;
  int tokens = 0;
  int rows = 0;
  for (int s = 0; s < sentences; ++s) {
    const int length = random_int(random, 1, c.max_length);
    const int count = s > 0 && random_int(random, 0, 3) == 0 ? 0 : random_int(random, 1, 5);
    const int parts = std::min(c.parts, length);
    rows_of.push_back({rows, count});
    for (int p = 0; p < parts; ++p) {
      const int begin = length * p / parts;
      ranges.push_back({s, tokens + begin, length * (p + 1) / parts - begin, p, parts});
    }
    parts_of_row.insert(parts_of_row.end(), usize(count), parts);
    tokens += length;
    rows += count;
  }
  const int d = c.el ? c.width : c.heads * c.width;
  const int query_rows = c.el ? c.heads : 1;
  const std::size_t numbers = usize(rows) * usize(c.el ? c.heads * d : d);
  const auto queries = random_numbers<T>(random, numbers, c.deviation);
  const auto keys = random_numbers<T>(random, usize(tokens) * usize(d));
  const auto values = random_numbers<T>(random, c.el ? 0 : usize(tokens) * usize(d));
  DeviceArray<T> device_queries(queries), device_keys(keys), device_values(values), out(numbers);
  DeviceArray<RowRange> device_rows(rows_of);
  DeviceArray<KeyRange> device_ranges(ranges);
  DeviceArray<std::int32_t> device_parts(parts_of_row);
  DeviceArray<float> partial(usize(c.parts) * numbers);
  DeviceArray<float> stats(2 * usize(c.parts) * usize(rows) * usize(c.heads));

  ContiguousArgs<T> args;
  args.ranges = device_ranges.data();
  args.rows_of = device_rows.data();
  args.queries = device_queries.data();
  args.keys = device_keys.data();
  args.values = c.el ? device_keys.data() : device_values.data();
  args.out = out.data();
  args.query_stride = args.key_stride = args.out_stride = d;
  args.query_rows = query_rows;
  args.width = c.width;
  args.head_stride = c.el ? 0 : c.width;
  args.scale = c.el ? 1.0F : 0.5F;
  args.partial = partial.data();
  args.partial_stats = stats.data();
  args.partial_rows = rows * query_rows;
  const AttentionPlan plan = plan_contiguous(
      {c.width, 5 * query_rows, 5, static_cast<int>(sizeof(T)), c.el}, DeviceLimits{});
  args.chunks = plan.chunks;
  args.tile_keys = plan.tile;
  const int heads = c.el ? 1 : c.heads;
  const auto result = run_schedules(out, numbers, c.all_schedules, [&] {
    const auto& kernels = emulated_kernels<T>();
    kernels.contiguous[plan.geometry](
        args, {static_cast<int>(ranges.size()), random_int(random, 1, 2), heads * plan.chunks,
               plan.warps * 32, plan.shared_bytes});
    if (c.parts > 1 && rows > 0) {
      kernels.merge({partial.data(), stats.data(), device_parts.data(), out.data(), d,
                     rows * query_rows, query_rows, c.width, heads, args.head_stride},
                    {rows * query_rows, heads, 1, 64, 0});
    }
  });
  int token = 0;
  for (int s = 0; s < sentences; ++s) {
    int length = 0;
    for (const KeyRange& range : ranges) length += range.group == s ? range.keys : 0;
    for (int m = 0; m < rows_of[usize(s)].count * query_rows; ++m) {
      for (int head = 0; head < heads; ++head) {
        const int row = rows_of[usize(s)].first * query_rows + m;
        std::vector<const T*> k, v;
        for (int t = token; t < token + length; ++t) {
          k.push_back(keys.data() + t * d + head * c.width);
          v.push_back((c.el ? keys : values).data() + t * d + head * c.width);
        }
        const auto wanted = attend(queries.data() + row * d + head * c.width, k, v, c.width,
                                   static_cast<double>(args.scale));
        for (int i = 0; i < c.width; ++i) {
          expect_close(result[usize(row * d + head * c.width + i)], wanted[usize(i)], 1.0,
                       "cross-attention");
          if (testing::Test::HasFailure()) return;
        }
      }
    }
    token += length;
  }
}

constexpr int kElWidths[] = {8, 20, 33, 64, 96, 128, 200, 256, 300, 384, 512, 768, 1000, 1024};
constexpr int kHeadWidths[] = {3, 8, 16, 32, 40, 64, 80, 96, 128, 160, 256};

template <typename T>
int check_many_cross(unsigned seed) {
  std::mt19937 random(seed);
  int cases = 0;
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
            return cases;
          }
          ++cases;
        }
      }
    }
  }
  return cases;
}

TEST(CrossAttentionKernel, AgreesWithDoublePrecision) {
  int cases = check_many_cross<float>(1);
  cases += check_many_cross<Half>(2);
  cases += check_many_cross<BFloat16>(3);
  EXPECT_GE(cases, 700);
}

TEST(CrossAttentionKernel, WidthsBeyondTheRegistersAreChunked) {
  std::mt19937 random(4);
  for (const int width : {1025, 1536, 2048}) {
    check_cross<float>({true, 2, width, 1, true, 6, 0.1F}, random);
    check_cross<Half>({true, 3, width, 2, false, 6, 0.1F}, random);
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
