// sm_90a's products of a warpgroup, four warps in a row (wgmma): each instruction in one wrapper;
// what they do on the emulated machine is in emulated/products.cpp. Both matrices lie in shared
// memory, where descriptors say; sums are those of the warpgroup's threads, and are theirs again
// after the wait.
#pragma once

#include "kernels/core/bulk_copy.hpp"

#include <type_traits>

namespace elbeam::kernels {

// How a matrix of 64 or N lines (rows of A, columns of B) times 16 numbers along k lies in shared
// memory, for matrix descriptors. Without swizzling, eight lines by eight numbers are 128 bytes.
struct MatrixLayout {
  std::uint64_t bits;
};
// `lines`: bytes to the next eight lines; `numbers`: to the next eight numbers along k.
constexpr MatrixLayout plain_layout(std::uint64_t lines, std::uint64_t numbers) {
  return {numbers / 16 << 16 | lines / 16 << 32};
}
// In a box: its rows are lines, or, for transposing products, numbers along k. Eight rows are 1024
// bytes.
inline constexpr MatrixLayout kBoxLayout = {
    std::uint64_t{1} << 62 | std::uint64_t{8 * kBoxRowBytes / 16} << 32 | std::uint64_t{1} << 16};

// A matrix at `address` of shared memory (shared_address()).
ELBEAM_DEVICE std::uint64_t describe(unsigned address, MatrixLayout layout) {
  return layout.bits | (address & 0x3ffffU) >> 4;
}

// The descriptor of what lies so many bytes, whole multiples of 16, behind.
ELBEAM_DEVICE std::uint64_t bytes_on(std::uint64_t descriptor, int bytes) {
  return descriptor + static_cast<std::uint64_t>(bytes / 16);
}

#if defined(__CUDACC__)

// Before the first product, and after sums were used otherwise: wgmma.fence.
ELBEAM_DEVICE void begin_products() {
#if defined(ELBEAM_WARPGROUPS)
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
#endif
}
ELBEAM_DEVICE void commit_products() {
#if defined(ELBEAM_WARPGROUPS)
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
#endif
}
// Until at most kPending committed groups are under way.
template <int kPending>
ELBEAM_DEVICE void wait_products() {
#if defined(ELBEAM_WARPGROUPS)
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(kPending) : "memory");
#endif
}

#define ELBEAM_WGMMA(columns, type, registers, a, b, p, ta, tb)                               \
  "{\n.reg .pred add;\nsetp.ne.b32 add, " p                                                   \
  ", 0;\n"                                                                                    \
  "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32." type "." type " {" registers "}, " a \
  ", " b ", add, 1, 1, " ta ", " tb ";\n}\n"
#define ELBEAM_4(i) "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3])
#define ELBEAM_8(i) ELBEAM_4(i), ELBEAM_4(i + 4)
#define ELBEAM_16(i) ELBEAM_8(i), ELBEAM_8(i + 8)
#define ELBEAM_32(i) ELBEAM_16(i), ELBEAM_16(i + 16)
#define ELBEAM_OPERANDS "l"(a), "l"(b), "n"(1), "n"(kTransposedA ? 1 : 0), "n"(kTransposedB ? 1 : 0)
#define ELBEAM_N8 "%0,%1,%2,%3"
#define ELBEAM_N16 ELBEAM_N8 ",%4,%5,%6,%7"
#define ELBEAM_N32 ELBEAM_N16 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define ELBEAM_N64 ELBEAM_N32 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"

// sums += A B, of 64x16 and 16xkColumns numbers; transposed ones lie with
// M or N along the rows of memory.
template <typename T, int kColumns, bool kTransposedA, bool kTransposedB>
ELBEAM_DEVICE void multiply_tiles(float (&sums)[kColumns / 2], std::uint64_t a, std::uint64_t b) {
#if defined(ELBEAM_WARPGROUPS)
  static_assert(kColumns == 8 || kColumns == 16 || kColumns == 32 || kColumns == 64);
#define ELBEAM_TYPED(type)                                                               \
  if constexpr (kColumns == 8) {                                                         \
    asm volatile(ELBEAM_WGMMA("8", type, ELBEAM_N8, "%4", "%5", "%6", "%7", "%8")        \
                 : ELBEAM_4(0)                                                           \
                 : ELBEAM_OPERANDS);                                                     \
  } else if constexpr (kColumns == 16) {                                                 \
    asm volatile(ELBEAM_WGMMA("16", type, ELBEAM_N16, "%8", "%9", "%10", "%11", "%12")   \
                 : ELBEAM_8(0)                                                           \
                 : ELBEAM_OPERANDS);                                                     \
  } else if constexpr (kColumns == 32) {                                                 \
    asm volatile(ELBEAM_WGMMA("32", type, ELBEAM_N32, "%16", "%17", "%18", "%19", "%20") \
                 : ELBEAM_16(0)                                                          \
                 : ELBEAM_OPERANDS);                                                     \
  } else {                                                                               \
    asm volatile(ELBEAM_WGMMA("64", type, ELBEAM_N64, "%32", "%33", "%34", "%35", "%36") \
                 : ELBEAM_32(0)                                                          \
                 : ELBEAM_OPERANDS);                                                     \
  }
  if constexpr (std::is_same_v<T, Half>) {
    ELBEAM_TYPED("f16")
  } else {
    ELBEAM_TYPED("bf16")
  }
#undef ELBEAM_TYPED
#endif
}
#undef ELBEAM_WGMMA
#undef ELBEAM_4
#undef ELBEAM_8
#undef ELBEAM_16
#undef ELBEAM_32
#undef ELBEAM_OPERANDS
#undef ELBEAM_N8
#undef ELBEAM_N16
#undef ELBEAM_N32
#undef ELBEAM_N64

// The compiler takes sums for changed here: it would else move their uses before the wait.
template <int kCount>
ELBEAM_DEVICE void changed_by_products(float (&sums)[kCount]) {
  ELBEAM_UNROLL
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}

#else

using emulated::begin_products;
using emulated::commit_products;
template <int kPending>
void wait_products() {
  emulated::wait_products(kPending);
}
template <typename T>
float number_of_bits(std::uint16_t bits) {
  return to_float(T{bits});
}
template <typename T, int kColumns, bool kTransposedA, bool kTransposedB>
void multiply_tiles(float (&sums)[kColumns / 2], std::uint64_t a, std::uint64_t b) {
  emulated::TileProduct product;
  product.a = a;
  product.b = b;
  product.columns = kColumns;
  product.transposed_a = kTransposedA;
  product.transposed_b = kTransposedB;
  product.number = number_of_bits<T>;
  product.sums = sums;
  emulated::start_product(product);
}
template <int kCount>
void changed_by_products(float (&)[kCount]) {}

#endif

}  // namespace elbeam::kernels
