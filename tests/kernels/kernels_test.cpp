// Every kernel of every instruction set that this processor has, against double-precision loops.
#include "kernels/kernels.hpp"

#include "base/thread_pool.hpp"
#include "kernels/instruction_sets.hpp"
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

double reference_activation(Activation kind, double x) {
  switch (kind) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kGelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kGeluAccurate:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kSwish:
      return x / (1 + std::exp(-x));
  }
  return x;
}

constexpr float kGuard = 12345.0F;

template <typename T>
class KernelTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(KernelTest, Types);

TYPED_TEST(KernelTest, PackedProductMatchesLoops) {
  using T = TypeParam;
  std::mt19937 rng(1);
  for (const Isa isa : supported()) {
    const KernelTable<T>& table = kernels_of<T>(isa);
    for (int round = 0; round < 200; ++round) {
      PackedGemm<T> g;
      g.m = round % 25 == 0 ? random_int(rng, 90, 210) : random_int(rng, 1, 45);
      g.n = random_int(rng, 1, 150);
      g.k = round % 20 == 0 ? random_int(rng, 500, 1100) : random_int(rng, 1, 70);
      g.lda = g.k + random_int(rng, 0, 3);
      g.ldc = g.n + random_int(rng, 0, 3);
      g.activation = static_cast<Activation>(round % 6);
      const auto a = random_values<T>(rng, g.m * g.lda, 0.5);
      const auto b = random_values<T>(rng, g.n * g.k, 0.5);
      const auto bias = random_values<T>(rng, g.n);
      const std::int64_t panels = (g.n + table.panel_width - 1) / table.panel_width;
      std::vector<T> packed(usize(panels * table.panel_width * g.k));
      table.pack_panels(b.data(), g.k, g.n, g.k, packed.data());
      std::vector<T> c(usize(g.m * g.ldc), T{kGuard});
      const std::vector<T> residual = random_values<T>(rng, g.m * g.ldc);
      g.a = a.data();
      g.packed = packed.data();
      g.bias = round % 3 == 0 ? nullptr : bias.data();
      g.residual = round % 2 == 0 ? nullptr : residual.data();
      g.c = c.data();
      table.gemm_packed(g, 0, panels);
      for (std::int64_t i = 0; i < g.m; ++i) {
        for (std::int64_t j = 0; j < g.ldc; ++j) {
          if (j >= g.n) {  // nothing is written between the rows
            ASSERT_EQ(c[usize(i * g.ldc + j)], T{kGuard});
            continue;
          }
          double sum = g.bias != nullptr ? static_cast<double>(bias[usize(j)]) : 0.0;
          for (std::int64_t k = 0; k < g.k; ++k) {
            sum += static_cast<double>(a[usize(i * g.lda + k)]) *
                   static_cast<double>(b[usize(j * g.k + k)]);
          }
          double expected = reference_activation(g.activation, sum);
          if (g.residual != nullptr)
            expected += static_cast<double>(residual[usize(i * g.ldc + j)]);
          ASSERT_NEAR(static_cast<double>(c[usize(i * g.ldc + j)]), expected, tolerance<T>(g.k))
              << isa_name(isa) << " m=" << g.m << " n=" << g.n << " k=" << g.k << " round "
              << round;
        }
      }
    }
  }
}

TYPED_TEST(KernelTest, PlainProductsMatchLoops) {
  using T = TypeParam;
  std::mt19937 rng(2);
  for (const Isa isa : supported()) {
    const KernelTable<T>& table = kernels_of<T>(isa);
    for (int round = 0; round < 200; ++round) {
      const bool transposed = round % 2 == 1;
      Gemm<T> g;
      g.m = random_int(rng, 1, 15);
      g.n = random_int(rng, 1, 90);
      g.k = random_int(rng, 1, 90);
      g.lda = g.k + random_int(rng, 0, 2);
      g.ldb = (transposed ? g.k : g.n) + random_int(rng, 0, 2);
      g.ldc = g.n + random_int(rng, 0, 2);
      const auto a = random_values<T>(rng, g.m * g.lda);
      const auto b = random_values<T>(rng, (transposed ? g.n : g.k) * g.ldb);
      std::vector<T> c(usize(g.m * g.ldc), T{kGuard});
      g.a = a.data();
      g.b = b.data();
      g.c = c.data();
      transposed ? table.gemm_nt(g) : table.gemm_nn(g);
      for (std::int64_t i = 0; i < g.m; ++i) {
        for (std::int64_t j = 0; j < g.ldc; ++j) {
          if (j >= g.n) {
            ASSERT_EQ(c[usize(i * g.ldc + j)], T{kGuard});
            continue;
          }
          double sum = 0.0;
          for (std::int64_t k = 0; k < g.k; ++k) {
            sum += static_cast<double>(a[usize(i * g.lda + k)]) *
                   static_cast<double>(b[usize(transposed ? j * g.ldb + k : k * g.ldb + j)]);
          }
          ASSERT_NEAR(static_cast<double>(c[usize(i * g.ldc + j)]), sum, 4 * tolerance<T>(g.k))
              << isa_name(isa) << (transposed ? " nt" : " nn") << " round " << round;
        }
      }
    }
  }
}

TYPED_TEST(KernelTest, SoftmaxAndLogSoftmaxMatchLoops) {
  using T = TypeParam;
  std::mt19937 rng(3);
  for (const Isa isa : supported()) {
    const KernelTable<T>& table = kernels_of<T>(isa);
    for (int round = 0; round < 200; ++round) {
      const std::int64_t n = random_int(rng, 1, 200);
      std::vector<T> x = random_values<T>(rng, n, round % 4 == 0 ? 40.0 : 3.0);
      if (round % 5 == 0 && n > 1) x[usize(n - 1)] = -std::numeric_limits<T>::infinity();
      const T temperature = round % 3 == 0 ? T{1} : static_cast<T>(0.7);
      const auto log_z = [&](double divide) {
        double highest = -1e300;
        for (const T v : x) highest = std::max(highest, static_cast<double>(v) / divide);
        double sum = 0.0;
        for (const T v : x) sum += std::exp(static_cast<double>(v) / divide - highest);
        return highest + std::log(sum);
      };
      double largest = 0.0;
      for (const T v : x) {
        if (std::isfinite(v)) largest = std::max(largest, std::abs(static_cast<double>(v)));
      }
      std::vector<T> p = x;
      table.softmax(p.data(), n);
      std::vector<T> scratch = x;
      std::vector<float> out(usize(n));
      std::vector<float> bounds(usize((n + kBoundWidth - 1) / kBoundWidth));
      table.log_softmax(scratch.data(), n, temperature, out.data(), bounds.data());
      for (std::int64_t i = 0; i < n; i += kBoundWidth) {
        const auto block =
            std::span(out).subspan(usize(i)).first(usize(std::min(kBoundWidth, n - i)));
        ASSERT_EQ(bounds[usize(i / kBoundWidth)], *std::max_element(block.begin(), block.end()));
      }
      for (std::int64_t i = 0; i < n; ++i) {
        const auto value = static_cast<double>(x[usize(i)]);
        ASSERT_NEAR(static_cast<double>(p[usize(i)]), std::exp(value - log_z(1.0)),
                    4e-6 * std::exp(value - log_z(1.0)) + 1e-37)
            << isa_name(isa) << " n=" << n << " i=" << i;
        const auto t = static_cast<double>(temperature);
        const double expected = value / t - log_z(t);
        if (std::isinf(expected)) {
          ASSERT_EQ(out[usize(i)], -std::numeric_limits<float>::infinity());
        } else {
          // The division rounds numbers as large as the largest one; torch's does, too.
          ASSERT_NEAR(out[usize(i)], expected, 2e-6 + 2.4e-7 * (largest / t + std::abs(expected)))
              << isa_name(isa);
        }
      }
    }
  }
}

TYPED_TEST(KernelTest, RowsWithoutAnyFiniteNumberBecomeNaN) {
  using T = TypeParam;
  for (const Isa isa : supported()) {
    for (const std::int64_t n : {1, 3, 16, 40}) {
      std::vector<T> x(usize(n), -std::numeric_limits<T>::infinity());
      kernels_of<T>(isa).softmax(x.data(), n);
      for (const T v : x) EXPECT_TRUE(std::isnan(v)) << isa_name(isa);
      std::vector<T> y(usize(n), T{1});
      y[0] = std::numeric_limits<T>::quiet_NaN();
      std::vector<float> out(usize(n));
      float bound = 0.0F;
      kernels_of<T>(isa).log_softmax(y.data(), n, T{1}, out.data(), &bound);
      EXPECT_TRUE(std::isnan(out[0])) << isa_name(isa);
      EXPECT_TRUE(std::isnan(bound)) << isa_name(isa);
    }
  }
}

TYPED_TEST(KernelTest, LayerNormMatchesLoops) {
  using T = TypeParam;
  std::mt19937 rng(4);
  for (const Isa isa : supported()) {
    for (int round = 0; round < 100; ++round) {
      const std::int64_t n = random_int(rng, 2, 200);
      std::vector<T> x = random_values<T>(rng, n, 5.0);
      for (T& v : x) v += T{3};
      const auto gain = random_values<T>(rng, n);
      const auto bias = random_values<T>(rng, n);
      std::vector<T> y = x;
      kernels_of<T>(isa).layer_norm(y.data(), gain.data(), bias.data(), n, y.data());  // in place
      double mean = 0.0;
      for (const T v : x) mean += static_cast<double>(v) / static_cast<double>(n);
      double variance = 0.0;
      for (const T v : x)
        variance += std::pow(static_cast<double>(v) - mean, 2) / static_cast<double>(n);
      for (std::int64_t i = 0; i < n; ++i) {
        const double expected = (static_cast<double>(x[usize(i)]) - mean) /
                                    std::sqrt(variance + 1e-5) *
                                    static_cast<double>(gain[usize(i)]) +
                                static_cast<double>(bias[usize(i)]);
        ASSERT_NEAR(static_cast<double>(y[usize(i)]), expected, 20 * tolerance<T>(4))
            << isa_name(isa);
      }
    }
  }
}

TYPED_TEST(KernelTest, AttendMatchesLoops) {
  using T = TypeParam;
  std::mt19937 rng(5);
  for (const Isa isa : supported()) {
    for (int round = 0; round < 100; ++round) {
      HeadAttention<T> a;
      a.heads = random_int(rng, 1, 4);
      a.width = random_int(rng, 1, 80);
      a.head_stride = round % 2 == 0 ? a.width : 0;
      a.length = random_int(rng, 1, 30);
      a.key_offset = 2;
      a.value_offset = 3;
      const std::int64_t slot = a.heads * a.width + 8;
      const auto query = random_values<T>(rng, a.heads * a.width, 0.3);
      const auto memory = random_values<T>(rng, a.length * slot);
      std::vector<const T*> keys;
      for (std::int64_t t = 0; t < a.length; ++t) keys.push_back(memory.data() + t * slot);
      std::shuffle(keys.begin(), keys.end(), rng);
      std::vector<T> scores(usize(a.heads * a.length));
      std::vector<T> context(usize(a.heads * a.width));
      a.query = query.data();
      a.keys = a.values = keys.data();
      a.scores = scores.data();
      a.context = context.data();
      kernels_of<T>(isa).attend(a);
      for (std::int64_t h = 0; h < a.heads; ++h) {
        std::vector<double> p(usize(a.length));
        double total = 0.0;
        for (std::int64_t t = 0; t < a.length; ++t) {
          double dot = 0.0;
          for (std::int64_t i = 0; i < a.width; ++i) {
            dot += static_cast<double>(query[usize(h * a.width + i)]) *
                   static_cast<double>(keys[usize(t)][a.key_offset + h * a.head_stride + i]);
          }
          total += p[usize(t)] = std::exp(dot);
        }
        for (std::int64_t i = 0; i < a.width; ++i) {
          double expected = 0.0;
          for (std::int64_t t = 0; t < a.length; ++t) {
            expected += p[usize(t)] / total *
                        static_cast<double>(keys[usize(t)][a.value_offset + h * a.head_stride + i]);
          }
          ASSERT_NEAR(static_cast<double>(context[usize(h * a.width + i)]), expected,
                      10 * tolerance<T>(a.width))
              << isa_name(isa);
        }
      }
    }
  }
}

TEST(PackedMatrix, SelectedOutputsAreThoseOfTheWhole) {
  std::mt19937 rng(9);
  const std::int64_t m = 7, n = 203, k = 61;
  const auto a = random_values<float>(rng, m * k);
  const auto w = random_values<float>(rng, n * k);
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < n; ++i) {
    if (rng() % 3 == 0) chosen.push_back(i);
  }
  chosen.push_back(chosen.front());  // any order, any number of times
  const std::int64_t few = ssize(chosen.size());
  std::vector<Storage> storages{Storage::kSame, Storage::kHalf, Storage::kBFloat16, Storage::kInt8};
  if (kernels<float>().multiply_pairs != nullptr) storages.push_back(Storage::kBFloat16Pairs);
  for (const Storage storage : storages) {
    const PackedMatrix<float> whole(w.data(), k, n, k, storage);
    const PackedMatrix<float> part = whole.select(chosen);
    EXPECT_EQ(part.outputs(), few);
    EXPECT_EQ(part.inputs(), k);
    std::vector<float> all(usize(m * n));
    std::vector<float> some(usize(m * few));
    whole.multiply({a.data(), k}, m, {all.data(), n}, {});
    part.multiply({a.data(), k}, m, {some.data(), few}, {});
    for (std::int64_t row = 0; row < m; ++row) {
      for (std::int64_t i = 0; i < few; ++i)
        ASSERT_EQ(some[usize(row * few + i)], all[usize(row * n + chosen[usize(i)])]);
    }
  }
  EXPECT_EQ(PackedMatrix<float>(w.data(), k, n, k).select({}).outputs(), 0);
}

TEST(PackedMatrix, ThreadsDoNotChangeTheResult) {
  std::mt19937 rng(6);
  const std::int64_t m = 33, n = 700, k = 130;
  const auto a = random_values<float>(rng, m * k);
  const auto w = random_values<float>(rng, n * k);
  const PackedMatrix<float> packed(w.data(), k, n, k);
  std::vector<float> alone(usize(m * n));
  packed.multiply({a.data(), k}, m, {alone.data(), n}, {});
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 20; ++round) {
      std::vector<float> shared(usize(m * n));
      packed.multiply({a.data(), k}, m, {shared.data(), n}, {}, pool);
      ASSERT_EQ(alone, shared) << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace elbeam::kernels
