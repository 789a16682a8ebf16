// What sm_90 adds to the emulated machine, against the PTX manual: the layouts written the other
// way round than in the twins (from a place in memory to its row and column), and what it stops.
#include "kernels/core/warpgroup.hpp"

#include "device/device_array.hpp"
#include "kernels/launch_plan.hpp"

#include <string>

namespace elbeam::kernels {
namespace {

void run(void (*body)(const void*), const void* args, int shared_bytes, int cluster = 1) {
  emulated::run_grid({"kernel", {cluster, 1, 1}, 128, shared_bytes, cluster}, body, args);
}

// What the machine says of a kernel that it stops.
std::string complaint(void (*body)(const void*), const void* args = nullptr, int cluster = 1) {
  try {
    run(body, args, 4096, cluster);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

// ---- products -----------------------------------------------------------------------------------

struct Number {
  int line;  // of M or N
  int k;
};

// "Strides" and "Canonical layouts" with 128-byte swizzling: which number lies in 16-bit place
// `place` of a box. Rows are 128 bytes; of the 8 parts of row r, part p is at p ^ (r % 8).
Number boxed(int place, bool transposed) {
  const int row = place / 64;
  const int part = place % 64 / 8 ^ row % 8;
  const int column = part * 8 + place % 8;
  return transposed ? Number{column, row} : Number{row, column};
}
// Without swizzling, lines along memory: 8 lines of one k are 16 bytes, 8 k a core matrix of 128
// bytes; here the next 8 k follow, and the next 8 lines lie `stride` bytes on.
Number plain(int place, int stride) {
  const int in_group = 2 * place % stride;
  return {2 * place / stride * 8 + place % 8, in_group / 128 * 8 + in_group % 128 / 16};
}

// "Register Fragments", accumulator D: of thread t register i.
struct RowColumn {
  int row;
  int column;
};
RowColumn place_in_d(int t, int i) {
  const int group = t % 32 / 4;
  return {t / 32 * 16 + group + (i % 4 < 2 ? 0 : 8), t % 4 * 2 + i % 2 + 8 * (i / 4)};
}

struct ProductArgs {
  const std::uint16_t* a;  // as it is to lie in shared memory, kPlaces numbers
  const std::uint16_t* b;
  float* sums;  // [128][N / 2]
};
constexpr int kPlaces = 64 * 64;  // of each matrix: 8 KiB

template <typename T, int kN, bool kTransposed>
void product_kernel(const void* data) {
  const auto& args = *static_cast<const ProductArgs*>(data);
  auto* shared = reinterpret_cast<std::uint16_t*>(shared_memory());
  for (int i = thread_index(); i < kPlaces; i += 128) {
    shared[i] = args.a[i];
    shared[kPlaces + i] = args.b[i];
  }
  fence_async();
  block_barrier();
  const std::uint64_t a = describe(shared_address(shared), kBoxLayout);
  const std::uint64_t b =
      describe(shared_address(shared + kPlaces), kTransposed ? plain_layout(512, 128) : kBoxLayout);
  float sums[kN / 2];
  for (int i = 0; i < kN / 2; ++i) sums[i] = args.sums[thread_index() * kN / 2 + i];
  begin_products();
  // The second 16 of k: 32 bytes on along the rows, or 16 rows on.
  multiply_tiles<T, kN, kTransposed, kTransposed>(sums, a, b);
  multiply_tiles<T, kN, kTransposed, kTransposed>(sums, a + (kTransposed ? 2048 : 32) / 16,
                                                  b + (kTransposed ? 256 : 32) / 16);
  commit_products();
  const float early = sums[0];
  wait_products<0>();
  if (early != args.sums[thread_index() * kN / 2]) emulated::stop("a sum before its wait");
  for (int i = 0; i < kN / 2; ++i) args.sums[thread_index() * kN / 2 + i] = sums[i];
}

template <typename T, int kN, bool kTransposed>
void check_product(unsigned seed) {
  constexpr int kK = 32;
  std::mt19937 random(seed);
  const auto a = random_numbers<T>(random, 64 * kK);
  const auto b = random_numbers<T>(random, kK * kN);
  DeviceArray<std::uint16_t> a_places(std::vector<std::uint16_t>(kPlaces, 0x7fff));  // NaN
  DeviceArray<std::uint16_t> b_places(std::vector<std::uint16_t>(kPlaces, 0x7fff));
  for (int place = 0; place < kPlaces; ++place) {
    const Number in_a = boxed(place, kTransposed);
    if (in_a.line < 64 && in_a.k < kK)
      a_places.data()[place] = a[static_cast<std::size_t>(in_a.line * kK + in_a.k)].bits;
    const Number in_b = kTransposed ? plain(place, 512) : boxed(place, false);
    if (in_b.line < kN && in_b.k < kK)
      b_places.data()[place] = b[static_cast<std::size_t>(in_b.k * kN + in_b.line)].bits;
  }
  DeviceArray<float> sums(std::vector<float>(128 * kN / 2, 3.0F));
  const ProductArgs args{a_places.data(), b_places.data(), sums.data()};
  run(product_kernel<T, kN, kTransposed>, &args, 4 * kPlaces);
  for (int t = 0; t < 128; ++t) {
    for (int i = 0; i < kN / 2; ++i) {
      const RowColumn place = place_in_d(t, i);
      double wanted = 3.0;
      for (int k = 0; k < kK; ++k)
        wanted += static_cast<double>(to_float(a[static_cast<std::size_t>(place.row * kK + k)])) *
                  static_cast<double>(to_float(b[static_cast<std::size_t>(k * kN + place.column)]));
      expect_close(sums.data()[t * kN / 2 + i], wanted, 16.0, "product");
    }
  }
}

TEST(Warpgroup, ProductsByTheDocumentedLayout) {
  for (int schedule = 0; schedule < 6; ++schedule) {
    emulated::set_schedule(schedule);
    check_product<Half, 8, false>(41);
    check_product<Half, 32, false>(42);
    check_product<BFloat16, 16, false>(43);
    check_product<Half, 64, true>(44);
    check_product<BFloat16, 32, true>(45);
    check_product<BFloat16, 16, true>(46);
  }
  emulated::set_schedule(0);
}

void unfenced_product(const void*) {
  float sums[4] = {};
  multiply_tiles<Half, 8, false, false>(sums, kBoxLayout.bits, kBoxLayout.bits);
}
void unfinished_product(const void*) {
  float sums[4] = {};
  begin_products();
  multiply_tiles<Half, 8, false, false>(sums, kBoxLayout.bits, kBoxLayout.bits);
  wait_products<0>();
}
void different_products(const void*) {
  float sums[4] = {};
  begin_products();
  const std::uint64_t a = describe(warp_index() == 2 ? 1024 : 0, plain_layout(128, 128));
  multiply_tiles<Half, 8, false, false>(sums, a, plain_layout(128, 128).bits);
  commit_products();
  wait_products<0>();
}
void product_beyond(const void*) {
  float sums[4] = {};
  begin_products();
  multiply_tiles<Half, 8, false, false>(sums, kBoxLayout.bits, kBoxLayout.bits);
  commit_products();
  wait_products<0>();
}

TEST(Warpgroup, WrongProductsAreErrors) {
  const auto says = [](void (*body)(const void*), const char* text) {
    EXPECT_NE(complaint(body).find(text), std::string::npos) << text << ": " << complaint(body);
  };
  says(unfenced_product, "a product without a fence");
  says(unfinished_product, "leaves with products under way");
  says(different_products, "different products");
  says(product_beyond, "beyond shared memory");
}

// ---- bulk copies --------------------------------------------------------------------------------

TileMap map_of(const TileMapSource& source) {
  TileMap map{};
  std::memcpy(map.words, &source, sizeof source);
  return map;
}

struct CopyArgs {
  TileMap map;
  std::uint16_t* out;  // what lies in shared memory, 8 rows of 64
  int column;
  int row;
};

void copy_kernel(const void* data) {
  const auto& args = *static_cast<const CopyArgs*>(data);
  unsigned char* barrier = shared_memory() + 1024;
  if (thread_index() == 0) {
    start_bulk_barrier(barrier, 1);
    fence_async();
  }
  block_barrier();
  if (thread_index() == 0) {
    expect_bytes(barrier, 1024);
    copy_box(shared_memory(), args.map, args.column, args.row, barrier);
  }
  wait_bulk(barrier, 0);
  const auto* shared = reinterpret_cast<const std::uint16_t*>(shared_memory());
  for (int i = thread_index(); i < 512; i += 128) args.out[i] = shared[i];
}

// A map of 10 rows of 72 numbers: a box at its end has zeros behind both.
TEST(Warpgroup, BoxesAreSwizzledAndEndWithZeros) {
  std::vector<std::uint16_t> numbers(10 * 80);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::uint16_t>(i + 1);
  DeviceArray<std::uint16_t> from(numbers), out(512);
  const CopyArgs args{map_of({from.data(), 72, 10, 160, 8}), out.data(), 64, 5};
  run(copy_kernel, &args, 1032);
  for (int place = 0; place < 512; ++place) {
    const Number at = boxed(place, false);
    const int row = 5 + at.line;
    const int column = 64 + at.k;
    const int wanted = row < 10 && column < 72 ? row * 80 + column + 1 : 0;
    EXPECT_EQ(out.data()[place], wanted) << place;
  }
}

// One way to use a barrier wrongly each; `step` leaves out or changes one thing.
enum class Mistake { kNone, kNoFence, kNoExpect, kTooFewBytes, kParity, kNoWait, kNoStart };
struct MistakeArgs {
  TileMap map;
  Mistake mistake;
};
void mistaken_kernel(const void* data) {
  const auto& args = *static_cast<const MistakeArgs*>(data);
  const auto is = [&](Mistake mistake) { return args.mistake == mistake; };
  unsigned char* barrier = shared_memory() + 1024;
  if (thread_index() == 0) {
    if (!is(Mistake::kNoStart)) start_bulk_barrier(barrier, 1);
    if (!is(Mistake::kNoFence)) fence_async();
  }
  block_barrier();
  if (thread_index() == 0) {
    if (!is(Mistake::kNoExpect)) expect_bytes(barrier, is(Mistake::kTooFewBytes) ? 512 : 1024);
    copy_box(shared_memory(), args.map, 0, 0, barrier);
  }
  if (is(Mistake::kNoWait)) return;
  wait_bulk(barrier, 0);
  if (is(Mistake::kParity)) wait_bulk(barrier, 1);
}

TEST(Warpgroup, WrongBarriersAreErrorsAndDoNotHang) {
  DeviceArray<std::uint16_t> from(std::vector<std::uint16_t>(8 * 64, 1));
  MistakeArgs args{map_of({from.data(), 64, 8, 128, 8}), Mistake::kNone};
  const auto says = [&](Mistake mistake, const std::string& text) {
    args.mistake = mistake;
    const std::string found = complaint(mistaken_kernel, &args);
    EXPECT_NE(found.find(text), std::string::npos) << text << ": " << found;
  };
  EXPECT_EQ(complaint(mistaken_kernel, &args), "");
  says(Mistake::kNoFence, "no fence has shown");
  says(Mistake::kNoExpect, "does not complete (1 arrivals and -1024 bytes are missing, 0 phases");
  says(Mistake::kTooFewBytes, "does not complete (0 arrivals and -512 bytes are missing");
  says(Mistake::kParity, "does not complete (1 arrivals and 0 bytes are missing, 1 phases");
  says(Mistake::kNoWait, "a bulk copy that nobody has waited for");
  says(Mistake::kNoStart, "was not initialised");
}

// ---- clusters -----------------------------------------------------------------------------------

void exchange_kernel(const void* data) {
  auto* out = static_cast<float*>(const_cast<void*>(data));
  cluster_arrive();
  cluster_wait();
  auto* slot = reinterpret_cast<float*>(shared_memory()) + 4 * thread_index();
  const auto value = static_cast<float>(1000 * cluster_rank() + thread_index());
  store_to_peer(slot, Bits128{{float_bits(value), 0, 0, 0}});
  cluster_arrive();
  cluster_wait();
  out[block_x() * 128 + thread_index()] = *slot;
}

TEST(Warpgroup, BlocksOfAClusterWriteToEachOther) {
  DeviceArray<float> out(256);
  run(exchange_kernel, out.data(), 2048, 2);
  for (int i = 0; i < 256; ++i)
    EXPECT_EQ(out.data()[i], static_cast<float>((i < 128 ? 1000 : 0) + i % 128));
}

void leaves_before_wait(const void*) { cluster_arrive(); }
void waits_without_arrival(const void*) { cluster_wait(); }
void one_block_arrives(const void*) {
  if (cluster_rank() == 0) {
    cluster_arrive();
    cluster_wait();
  }
}
void writes_to_one_that_left(const void*) {
  if (cluster_rank() == 1) return;
  for (int i = 0; i < 3; ++i) block_barrier();
  store_to_peer(shared_memory(), Bits128{});
}

TEST(Warpgroup, WrongClustersAreErrors) {
  const auto says = [](void (*body)(const void*), const char* text) {
    EXPECT_NE(complaint(body, nullptr, 2).find(text), std::string::npos) << text;
  };
  says(leaves_before_wait, "leaves between arrival and wait");
  says(waits_without_arrival, "without an arrival");
  says(one_block_arrives, "deadlock");
  says(writes_to_one_that_left, "a block that has left");
}

// ---- plans --------------------------------------------------------------------------------------

TEST(WarpgroupPlan, OnlyWhereItCanBe) {
  const DeviceLimits h100{115200, 132, 227 << 10, true, true};
  const AttentionPlan plan = plan_contiguous({1024, 64, 4, 2, true}, h100);
  EXPECT_EQ(plan.unit, AttentionUnit::kWarpgroup);
  EXPECT_EQ(plan.geometry, 11U);
  EXPECT_EQ(plan.rows, 64);
  EXPECT_LE(plan.shared_bytes, h100.all_shared_bytes);
  const auto unit = [&](AttentionShape shape) { return plan_contiguous(shape, h100).unit; };
  EXPECT_EQ(unit({1024, 64, 4, 4, true}), AttentionUnit::kPortable) << "fp32";
  EXPECT_EQ(unit({64, 64, 4, 2, false}), AttentionUnit::kPortable) << "multi-head";
  EXPECT_EQ(unit({1032, 64, 4, 2, true}), AttentionUnit::kPortable) << "too wide";
  for (const WarpgroupShape& shape : kWarpgroupShapes) {
    for (const int rows : kWarpgroupRows)
      EXPECT_LE(warpgroup_shared_bytes(shape.columns, rows, shape.cluster), 227 << 10);
  }
  EXPECT_EQ(plan_contiguous({1024, 16, 1, 2, true}, h100).rows, 16) << "few rows";
  const DeviceLimits b200{115200, 148, 227 << 10, true, false};
  EXPECT_EQ(plan_contiguous({1024, 64, 4, 2, true}, b200).unit, AttentionUnit::kTensor);
}

}  // namespace
}  // namespace elbeam::kernels
