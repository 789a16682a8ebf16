// The emulated tensor-core instructions against the layouts that NVIDIA's PTX manual gives for
// them, written here as there: from a register to its row and column (the twins go the other way).
#include "kernels/core/tensor_core.hpp"

#include "device/device_array.hpp"
#include "kernels/launch_plan.hpp"

#include <cmath>

namespace elbeam::kernels {
namespace {

// "Matrix Fragments for mma.m16n8k16 with floating point type", .f16 and .bf16. groupID is lane /
// 4, threadID_in_group is lane % 4.
struct Place {
  int row;
  int column;
};
Place place_in_a(int lane, int i) {
  const bool upper = i < 2 || (4 <= i && i < 6);
  return {upper ? lane / 4 : lane / 4 + 8, lane % 4 * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
}
Place place_in_b(int lane, int i) { return {lane % 4 * 2 + (i & 1) + (i >= 2 ? 8 : 0), lane / 4}; }
Place place_in_c(int lane, int i) {
  return {i < 2 ? lane / 4 : lane / 4 + 8, lane % 4 * 2 + (i & 1)};
}

struct ProductArgs {
  const std::uint32_t* a;  // [32][4]
  const std::uint32_t* b;  // [32][2]
  float* c;                // [32][4], what is added to
};

template <typename T>
void product_kernel(const void* data) {
  const auto& args = *static_cast<const ProductArgs*>(data);
  std::uint32_t a[4];
  float c[4];
  for (int i = 0; i < 4; ++i) {
    a[i] = args.a[4 * thread_index() + i];
    c[i] = args.c[4 * thread_index() + i];
  }
  const std::uint32_t* b = args.b + 2 * thread_index();
  for (int repeat = 0; repeat < 2; ++repeat) multiply_fragments<T>(c, a, b[0], b[1]);
  for (int i = 0; i < 4; ++i) args.c[4 * thread_index() + i] = c[i];
}

template <typename T>
void check_product(unsigned seed) {
  constexpr int kWarps = 2;
  std::mt19937 random(seed);
  const auto a = random_numbers<T>(random, kWarps * 16 * 16);
  const auto b = random_numbers<T>(random, kWarps * 16 * 8);
  const auto c = random_numbers<float>(random, kWarps * 16 * 8);
  DeviceArray<std::uint32_t> a_registers(kWarps * 32 * 4), b_registers(kWarps * 32 * 2);
  DeviceArray<float> sums(kWarps * 32 * 4);
  for (int thread = 0; thread < kWarps * 32; ++thread) {
    const int warp = thread / 32;
    const int lane = thread % 32;
    auto* a_halves = reinterpret_cast<std::uint16_t*>(a_registers.data() + 4 * thread);
    auto* b_halves = reinterpret_cast<std::uint16_t*>(b_registers.data() + 2 * thread);
    for (int i = 0; i < 8; ++i) {
      const Place place = place_in_a(lane, i);
      a_halves[i] = a[static_cast<std::size_t>((warp * 16 + place.row) * 16 + place.column)].bits;
    }
    for (int i = 0; i < 4; ++i) {
      const Place of_b = place_in_b(lane, i);
      b_halves[i] = b[static_cast<std::size_t>((warp * 16 + of_b.row) * 8 + of_b.column)].bits;
      const Place of_c = place_in_c(lane, i);
      sums.data()[4 * thread + i] =
          c[static_cast<std::size_t>((warp * 16 + of_c.row) * 8 + of_c.column)];
    }
  }
  const ProductArgs args{a_registers.data(), b_registers.data(), sums.data()};
  emulated::run_grid({"product", {1, 1, 1}, kWarps * 32, 0}, product_kernel<T>, &args);
  for (int thread = 0; thread < kWarps * 32; ++thread) {
    for (int i = 0; i < 4; ++i) {
      const Place place = place_in_c(thread % 32, i);
      const int row = thread / 32 * 16 + place.row;
      double wanted = static_cast<double>(c[static_cast<std::size_t>(row * 8 + place.column)]);
      for (int k = 0; k < 16; ++k) {
        wanted += 2.0 * static_cast<double>(to_float(a[static_cast<std::size_t>(row * 16 + k)])) *
                  static_cast<double>(to_float(
                      b[static_cast<std::size_t>((thread / 32 * 16 + k) * 8 + place.column)]));
      }
      expect_close(sums.data()[4 * thread + i], wanted, 16.0, "product");
    }
  }
}

TEST(TensorCore, ProductsByTheDocumentedLayout) {
  for (int schedule = 0; schedule < 6; ++schedule) {
    emulated::set_schedule(schedule);
    check_product<Half>(31);
    check_product<BFloat16>(32);
  }
  emulated::set_schedule(0);
}

struct LoadArgs {
  const std::uint16_t* matrices;  // [4][8 rows][8]
  std::uint32_t* plain;           // [32][4]
  std::uint32_t* transposed;
};

void load_kernel(const void* data) {
  const auto& args = *static_cast<const LoadArgs*>(data);
  auto* shared = reinterpret_cast<std::uint16_t*>(shared_memory());
  for (int i = thread_index(); i < 256; i += 32) shared[i] = args.matrices[i];
  block_barrier();
  std::uint32_t to[4];
  // Lane 8 i + r gives row r of matrix i.
  load_matrices<false>(to, shared + 8 * thread_index());
  for (int i = 0; i < 4; ++i) args.plain[4 * thread_index() + i] = to[i];
  load_matrices<true>(to, shared + 8 * thread_index());
  for (int i = 0; i < 4; ++i) args.transposed[4 * thread_index() + i] = to[i];
}

// "ldmatrix": register i of a lane has row lane / 4 of matrix i, elements 2 (lane % 4) and the
// next; with .trans, of the transposed matrix.
TEST(TensorCore, MatricesByTheDocumentedLayout) {
  std::vector<std::uint16_t> numbers(256);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = static_cast<std::uint16_t>(7 * i + 3);
  DeviceArray<std::uint16_t> matrices(numbers);
  DeviceArray<std::uint32_t> plain(32 * 4), transposed(32 * 4);
  const LoadArgs args{matrices.data(), plain.data(), transposed.data()};
  emulated::run_grid({"load", {1, 1, 1}, 32, 512}, load_kernel, &args);
  const auto number = [&](int matrix, int row, int column) {
    return std::uint32_t{numbers[static_cast<std::size_t>(64 * matrix + 8 * row + column)]};
  };
  for (int lane = 0; lane < 32; ++lane) {
    const int row = lane / 4;
    const int column = lane % 4 * 2;
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(plain.data()[4 * lane + i], number(i, row, column) | number(i, row, column + 1)
                                                                         << 16);
      EXPECT_EQ(transposed.data()[4 * lane + i], number(i, column, row) | number(i, column + 1, row)
                                                                              << 16);
    }
  }
}

void misaligned_kernel(const void*) {
  std::uint32_t to[4];
  load_matrices<false>(to, shared_memory() + 8);
}

TEST(TensorCore, MisalignedRowsAreAnError) {
  EXPECT_ANY_THROW(emulated::run_grid({"load", {1, 1, 1}, 32, 64}, misaligned_kernel, nullptr));
}

// An A100, and what has to be so for tensor cores to be taken.
TEST(TensorPlan, OnlyWhereItCanBe) {
  const DeviceLimits a100{82432, 108, 163 << 10, true};
  const AttentionShape shape{1024, 64, 4, 2, true};
  const AttentionPlan plan = plan_contiguous(shape, a100);
  EXPECT_EQ(plan.unit, AttentionUnit::kTensor);
  EXPECT_EQ(plan.geometry, 7U);
  EXPECT_EQ(plan.rows, 32);
  EXPECT_LE(plan.shared_bytes, a100.all_shared_bytes);
  const auto tensor = [&](AttentionShape other, DeviceLimits limits) {
    return plan_contiguous(other, limits).unit == AttentionUnit::kTensor;
  };
  EXPECT_FALSE(tensor({1024, 64, 4, 4, true}, a100)) << "fp32";
  EXPECT_FALSE(tensor({64, 64, 4, 2, false}, a100)) << "multi-head";
  EXPECT_FALSE(tensor({1020, 64, 4, 2, true}, a100)) << "no whole vectors";
  EXPECT_FALSE(tensor({1032, 64, 4, 2, true}, a100)) << "too wide";
  EXPECT_FALSE(tensor({1024, 4, 4, 2, true}, a100)) << "few rows";
  EXPECT_FALSE(tensor(shape, {82432, 108, 163 << 10, false})) << "before sm_80";
  EXPECT_FALSE(tensor(shape, {49664, 84, 99 << 10, true})) << "too little shared memory";
  EXPECT_TRUE(tensor({512, 64, 4, 2, true}, {49664, 84, 99 << 10, true}));
}

}  // namespace
}  // namespace elbeam::kernels
