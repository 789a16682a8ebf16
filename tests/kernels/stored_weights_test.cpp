// Products with weights of 16 and 8 bits, of every instruction set that this processor has, against
// double-precision loops.
#include "base/thread_pool.hpp"
#include "kernels/instruction_sets.hpp"
#include "kernels/kernels.hpp"
#include "kernels/packed_matrix.hpp"
#include "support/random_matrix.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace elbeam::kernels {
namespace {

using testing_support::random_int;
using testing_support::random_values;

// A product with weights that are kept in 16 or 8 bits.
struct StoredProduct {
  std::int64_t m = 0, n = 0, k = 0;
  std::vector<float> a, weight, c;
};

StoredProduct stored_product(std::mt19937& rng, Storage storage, int round) {
  StoredProduct p;
  p.m = round % 10 == 0 ? random_int(rng, 90, 120) : random_int(rng, 1, 30);
  p.n = random_int(rng, 1, 150);
  p.k = random_int(rng, 1, round % 5 == 0 ? 1500 : 90);
  p.a = random_values<float>(rng, p.m * p.k, 0.5);
  p.weight = random_values<float>(rng, p.n * p.k, 0.5);
  p.c.resize(usize(p.m * p.n));
  const PackedMatrix<float> matrix(p.weight.data(), p.k, p.n, p.k, storage);
  EXPECT_EQ(matrix.storage(), storage);
  ThreadPool pool(round % 2 + 1);
  matrix.multiply({p.a.data(), p.k}, p.m, {p.c.data(), p.n}, {}, pool);
  return p;
}

// Error of entry (i, j), against the exact sum of `rounded` weights and `rounded_row` numbers.
template <typename Rounded, typename RoundedRow = double (*)(float)>
double stored_error(
    const StoredProduct& p, std::int64_t i, std::int64_t j, Rounded&& rounded,
    RoundedRow&& rounded_row = [](float x) { return static_cast<double>(x); }) {
  double sum = 0.0;
  for (std::int64_t k = 0; k < p.k; ++k)
    sum += rounded_row(p.a[usize(i * p.k + k)]) * rounded(p.weight[usize(j * p.k + k)]);
  return std::fabs(static_cast<double>(p.c[usize(i * p.n + j)]) - sum);
}

// The nearest number with `bits` significant bits.
double round_significand(double x, int bits) {
  if (x == 0.0) return 0.0;
  const double step = std::ldexp(1.0, std::ilogb(x) + 1 - bits);
  return std::nearbyint(x / step) * step;
}

TEST(StoredWeights, SixteenBitsRoundToTheNearestAndNoFurther) {
  std::mt19937 rng(11);
  for (int round = 0; round < 40; ++round) {
    const bool half = round % 2 == 0;
    const StoredProduct p = stored_product(rng, half ? Storage::kHalf : Storage::kBFloat16, round);
    for (std::int64_t i = 0; i < p.m; ++i) {
      for (std::int64_t j = 0; j < p.n; ++j) {
        const double error = stored_error(p, i, j, [&](float w) {
          const auto x = static_cast<double>(w);
          // below 2^-14 fp16 has steps of 2^-24
          if (half && std::fabs(x) < 0x1p-14) return std::nearbyint(x * 0x1p24) * 0x1p-24;
          return round_significand(x, half ? 11 : 8);
        });
        ASSERT_LE(error, tolerance<float>(p.k)) << "round " << round;
      }
    }
  }
}

TEST(StoredWeights, PairsRoundBothSidesToTheNearestAndNoFurther) {
  if (kernels<float>().multiply_pairs == nullptr)
    GTEST_SKIP() << "this processor has no AVX512_BF16";
  std::mt19937 rng(15);
  const auto rounded = [](float x) { return round_significand(static_cast<double>(x), 8); };
  for (int round = 0; round < 60; ++round) {
    // Deeper than a block (512 pairs) now and then.
    const StoredProduct p = stored_product(rng, Storage::kBFloat16Pairs, round);
    for (std::int64_t i = 0; i < p.m; ++i) {
      for (std::int64_t j = 0; j < p.n; ++j)
        ASSERT_LE(stored_error(p, i, j, rounded, rounded), tolerance<float>(p.k))
            << "round " << round;
    }
  }
}

// What is no number stays none, and an infinite weight is not taken for a large one.
TEST(StoredWeights, PairsKeepWhatIsNotFinite) {
  if (kernels<float>().multiply_pairs == nullptr)
    GTEST_SKIP() << "this processor has no AVX512_BF16";
  for (const std::int64_t k : {1, 5, 16, 33}) {
    std::vector<float> weight(usize(2 * k), 0.5F), x(usize(k), 1.0F), y(2);
    weight[usize(k - 1)] = std::numeric_limits<float>::infinity();
    weight[usize(2 * k - 1)] = std::numeric_limits<float>::quiet_NaN();
    const PackedMatrix<float> matrix(weight.data(), k, 2, k, Storage::kBFloat16Pairs);
    matrix.multiply({x.data(), k}, 1, {y.data(), 2}, {});
    EXPECT_EQ(y[0], std::numeric_limits<float>::infinity()) << k;
    EXPECT_TRUE(std::isnan(y[1])) << k;
  }
}

TEST(StoredWeights, EightBitsStayWithinTheirSteps) {
  std::mt19937 rng(12);
  for (int round = 0; round < 40; ++round) {
    const StoredProduct p = stored_product(rng, Storage::kInt8, round);
    for (std::int64_t i = 0; i < p.m; ++i) {
      for (std::int64_t j = 0; j < p.n; ++j) {
        double a_sum = 0.0, a_max = 0.0, w_sum = 0.0, w_max = 0.0;
        for (std::int64_t k = 0; k < p.k; ++k) {
          const double a = std::fabs(static_cast<double>(p.a[usize(i * p.k + k)]));
          const double w = std::fabs(static_cast<double>(p.weight[usize(j * p.k + k)]));
          a_sum += a;
          w_sum += w;
          a_max = std::max(a_max, a);
          w_max = std::max(w_max, w);
        }
        // |ab - a'b'| <= |a| |b - b'| + |b'| |a - a'|, each difference half a step at most
        const double a_step = a_max / 127, w_step = w_max / 127;
        const double bound =
            0.5 * (a_sum * w_step + (w_sum + static_cast<double>(p.k) * w_step) * a_step);
        const double error = stored_error(p, i, j, [](float w) { return static_cast<double>(w); });
        ASSERT_LE(error, bound * 1.001 + 1e-6) << "round " << round;
      }
    }
  }
}

// Sums of integers are exact: whatever instructions computed them.
TEST(StoredWeights, EightBitProductsAreTheSameOnEveryInstructionSet) {
  std::mt19937 rng(13);
  for (const Isa isa : supported()) {
    const KernelTable<float>& table = kernels_of<float>(isa);
    for (int round = 0; round < 30; ++round) {
      Int8Gemm g;
      g.k = 4 * random_int(rng, 1, round % 5 == 0 ? 700 : 100);
      g.out.m = random_int(rng, 1, round % 4 == 0 ? 130 : 20);
      g.out.n = random_int(rng, 1, 100);
      const std::int64_t width = table.panel_width;
      const std::int64_t panels = (g.out.n + width - 1) / width;
      std::vector<std::uint8_t> a(usize(g.out.m * g.k * table.int8_bytes));
      std::vector<std::int8_t> b(usize(panels * width * g.k));
      const bool extreme = round % 3 == 0;  // where 16-bit sums would saturate
      // Whole numbers up to 127 are what they become; a depth that is no multiple of 4 is filled
      // up.
      const std::int64_t depth = g.k - random_int(rng, 0, 3);
      std::vector<float> x(usize(g.out.m * g.k), 0.0F);
      std::vector<float> x_scale(usize(g.out.m));
      for (std::int64_t i = 0; i < g.out.m; ++i) {
        float* row = x.data() + i * g.k;
        for (std::int64_t k = 0; k < depth; ++k)
          row[k] = static_cast<float>(extreme ? 127 : random_int(rng, -127, 127));
        row[0] = 127.0F;
        table.quantize_row(row, depth, a.data() + i * g.k * table.int8_bytes, &x_scale[usize(i)]);
        ASSERT_EQ(x_scale[usize(i)], 1.0F);
      }
      for (auto& w : b) w = static_cast<std::int8_t>(extreme ? -127 : random_int(rng, -127, 127));
      const std::vector<float> scale(usize(std::max(g.out.m, panels * width)), 1.0F);
      const std::vector<std::int32_t> zeros(usize(panels * width), 0);
      std::vector<float> c(usize(g.out.m * g.out.n));
      g.a = a.data();
      g.packed = b.data();
      g.a_scale = g.b_scale = scale.data();
      g.b_sum = zeros.data();
      g.out.c = c.data();
      g.out.ldc = g.out.n;
      table.multiply_int8(g, 0, panels);
      for (std::int64_t i = 0; i < g.out.m; ++i) {
        for (std::int64_t j = 0; j < g.out.n; ++j) {
          std::int64_t sum = 0;
          for (std::int64_t k = 0; k < g.k; ++k) {
            const auto number = static_cast<std::int64_t>(x[usize(i * g.k + k)]) + 128;
            sum += number *
                   b[usize(j / width * width * g.k + k / 4 * width * 4 + j % width * 4 + k % 4)];
          }
          ASSERT_EQ(c[usize(i * g.out.n + j)], static_cast<float>(sum)) << isa_name(isa);
        }
      }
    }
  }
}

// Rows of weights that are all zero, or hold what is no number, on every instruction set.
TEST(StoredWeights, EightBitRowsThatCannotBeScaled) {
  for (const Isa isa : supported()) {
    const KernelTable<float>& table = kernels_of<float>(isa);
    for (const std::int64_t k : {1, 7, 16, 21}) {
      std::vector<std::int8_t> panel(usize(table.panel_width * 4 * ((k + 3) / 4)));
      std::vector<float> x(usize(k), 0.0F);
      float scale = -1.0F;
      std::int32_t sum = 0;
      table.pack_int8_row(x.data(), k, panel.data(), &scale, &sum);
      EXPECT_EQ(scale, 0.0F);
      for (const float bad :
           {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
            std::numeric_limits<float>::quiet_NaN()}) {
        x.back() = bad;
        table.pack_int8_row(x.data(), k, panel.data(), &scale, &sum);
        EXPECT_TRUE(std::isnan(scale)) << isa_name(isa) << ", " << bad;
      }
      EXPECT_EQ(sum, 0);
      for (const std::int8_t byte : panel) EXPECT_EQ(byte, 0);
      x.back() = -0.5F;
      table.pack_int8_row(x.data(), k, panel.data(), &scale, &sum);
      EXPECT_EQ(sum, -128 * 127) << isa_name(isa);
      EXPECT_EQ(scale, 0.5F / 127.0F);
      EXPECT_EQ(panel[usize((k - 1) / 4 * table.panel_width * 4 + (k - 1) % 4)], -127);
    }
  }
}

// A checkpoint in half precision is kept so, and gives the very products of its fp32 form.
TEST(StoredWeights, HalfPrecisionIsKeptWhereNothingIsLost) {
  std::mt19937 rng(14);
  const std::int64_t n = 100, k = 150, m = 7;
  std::vector<float> weight = random_values<float>(rng, n * k, 0.1);
  for (float& w : weight) w = static_cast<float>(std::nearbyint(w * 1024.0F) / 1024.0F);
  weight[0] = 0x1p-24F;
  weight[1] = -65504.0F;
  weight[2] = -0.0F;
  const auto product = [&](const PackedMatrix<float>& matrix) {
    std::vector<float> x(usize(m * k), 0.5F), y(usize(m * n));
    matrix.multiply({x.data(), k}, m, {y.data(), n}, {});
    return y;
  };
  const PackedMatrix<float> kept(weight.data(), k, n, k);
  EXPECT_EQ(kept.storage(), Storage::kHalf);
  for (std::int64_t j = 0; j < n; ++j) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < k; ++i) sum += 0.5 * static_cast<double>(weight[usize(j * k + i)]);
    EXPECT_NEAR(static_cast<double>(product(kept)[usize(j)]), sum, j == 0 ? 0.05 : 1e-5);
  }
  weight.back() = 0x1.004p-1F;  // 11 significant bits
  EXPECT_EQ(PackedMatrix<float>(weight.data(), k, n, k).storage(), Storage::kHalf);
  weight.back() = 0x1.002p-1F;  // one too many
  EXPECT_EQ(PackedMatrix<float>(weight.data(), k, n, k).storage(), Storage::kSame);
}

}  // namespace
}  // namespace elbeam::kernels
