// Products of 8-bit integers of one instruction set. See simd.hpp for the rules of these files.
#pragma once

#include "kernels/cpu/gemm_body.hpp"
#include "kernels/kernels.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE {

typedef std::int32_t Sums __attribute__((vector_size(ELBEAM_VECTOR_BYTES)));
typedef std::int32_t UnalignedSums
    __attribute__((vector_size(ELBEAM_VECTOR_BYTES), aligned(1), may_alias));
inline constexpr std::int64_t kSumLanes = ELBEAM_VECTOR_BYTES / 4;

static inline Sums load_sums(const void* p) { return *static_cast<const UnalignedSums*>(p); }

static inline void store_sums(void* p, Sums sums) { *static_cast<UnalignedSums*>(p) = sums; }

static inline Sums multiply_pairs(Sums x, Sums y) {
#if ELBEAM_VECTOR_BYTES == 64
  return reinterpret_cast<Sums>(
      _mm512_madd_epi16(reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(y)));
#elif ELBEAM_VECTOR_BYTES == 32
  return reinterpret_cast<Sums>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(x), reinterpret_cast<__m256i>(y)));
#elif defined(__SSE2__)
  return reinterpret_cast<Sums>(
      _mm_madd_epi16(reinterpret_cast<__m128i>(x), reinterpret_cast<__m128i>(y)));
#else
  return ((x << 16) >> 16) * ((y << 16) >> 16) + (x >> 16) * (y >> 16);
#endif
}

// Numbers of A lie as add_dot wants them, so that a quad is loaded into all lanes and nothing else:
// bytes for the instruction that takes them so, else 16 bits each, numbers 0 and 2 of a quad before
// 1 and 3.
#if ELBEAM_INT8_DOT
inline constexpr std::int64_t kQuadBytes = 4;
inline constexpr std::int64_t kInt8TileRows = kTileRows;
struct Quad {
  Sums bytes;
};
#else
inline constexpr std::int64_t kQuadBytes = 8;
// Two vectors of columns, taken apart, leave AVX2's 16 registers room for the sums of four rows.
inline constexpr std::int64_t kInt8TileRows = 4;
struct Quad {
  Sums even, odd;
};
#endif

// Where number i of A lies.
static inline std::int64_t quad_place(std::int64_t i) {
#if ELBEAM_INT8_DOT
  return i;
#else
  return i % 4 == 1 ? i + 1 : i % 4 == 2 ? i - 1 : i;
#endif
}

// The same for a vector of numbers.
template <typename Numbers>
static inline Numbers quad_order(Numbers x) {
#if ELBEAM_INT8_DOT
  return x;
#elif ELBEAM_VECTOR_BYTES == 64
  return __builtin_shufflevector(x, x, 0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
#elif ELBEAM_VECTOR_BYTES == 32
  return __builtin_shufflevector(x, x, 0, 2, 1, 3, 4, 6, 5, 7);
#else
  return __builtin_shufflevector(x, x, 0, 2, 1, 3);
#endif
}

static inline Sums spread_word(const std::uint8_t* a) {
  std::int32_t bits = 0;
  __builtin_memcpy(&bits, a, 4);
  return Sums{} + bits;
}

static inline Quad spread_quad(const std::uint8_t* a) {
#if ELBEAM_INT8_DOT
  return {spread_word(a)};
#else
  return {spread_word(a), spread_word(a + 4)};
#endif
}

// Four signed bytes of B in each lane.
static inline Quad split_column(Sums b) {
#if ELBEAM_INT8_DOT
  return {b};
#else
  typedef std::int16_t Pairs __attribute__((vector_size(ELBEAM_VECTOR_BYTES)));
  const auto bytes = reinterpret_cast<Pairs>(b);
  return {reinterpret_cast<Sums>((bytes << 8) >> 8), reinterpret_cast<Sums>(bytes >> 8)};
#endif
}

// The same in memory, behind each other.
inline constexpr std::int64_t kSplitWords = kQuadBytes / 4 * kSumLanes;
// A block that was taken apart stays in the L1 cache with the rows it is multiplied with.
inline constexpr std::int64_t kSplitBytes = 16384;

static inline void store_split(std::int32_t* to, const Quad& column) {
#if ELBEAM_INT8_DOT
  store_sums(to, column.bytes);
#else
  store_sums(to, column.even);
  store_sums(to + kSumLanes, column.odd);
#endif
}

static inline Quad load_split(const std::int32_t* from) {
#if ELBEAM_INT8_DOT
  return {load_sums(from)};
#else
  return {load_sums(from), load_sums(from + kSumLanes)};
#endif
}

// sum + the products of four numbers of A and of B, in each lane. Exact: 16-bit products of pairs,
// since the 8-bit instruction of AVX2 saturates.
static inline Sums add_dot(Sums sum, const Quad& a, const Quad& b) {
#if ELBEAM_INT8_DOT
  return reinterpret_cast<Sums>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum),
                                                    reinterpret_cast<__m512i>(a.bytes),
                                                    reinterpret_cast<__m512i>(b.bytes)));
#else
  return sum + (multiply_pairs(a.even, b.even) + multiply_pairs(a.odd, b.odd));
#endif
}

// A part of a panel's depth, for some rows of A.
struct Int8Block {
  std::int64_t panel = 0;
  std::int64_t begin = 0, end = 0;      // of the depth
  const std::int32_t* split = nullptr;  // its columns as split_column leaves them, or nullptr
};

template <int kRows, bool kSplit>
static inline void int8_sums(const Int8Gemm& g, const Int8Block& block, std::int64_t row,
                             Sums (&acc)[kRows][ELBEAM_PANEL_VECTORS]) {
  constexpr int kVectors = ELBEAM_PANEL_VECTORS;
  constexpr std::int64_t kWidth = kVectors * kSumLanes;
  const std::int8_t* b = g.packed + block.panel * kWidth * g.k + block.begin * kWidth;
  const std::int32_t* split = block.split;
  const std::int64_t row_bytes = g.k / 4 * kQuadBytes;
  const std::uint8_t* a = g.a + row * row_bytes + block.begin / 4 * kQuadBytes;
  for (std::int64_t k = block.begin; k < block.end; k += 4) {
    Quad column[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      column[v] = kSplit ? load_split(split + v * kSplitWords)
                         : split_column(load_sums(b + v * 4 * kSumLanes));
    }
    b += 4 * kWidth;
    split += kVectors * kSplitWords;
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const Quad quad = spread_quad(a + r * row_bytes);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = add_dot(acc[r][v], quad, column[v]);
    }
    a += kQuadBytes;
  }
}

// Rows [row, row + kRows) of a panel's block; sums of blocks before the last one wait in `partial`.
template <int kRows, bool kSplit>
static void int8_tile(const Int8Gemm& g, const Int8Block& block, std::int64_t row,
                      std::int32_t* partial) {
  constexpr int kVectors = ELBEAM_PANEL_VECTORS;
  constexpr std::int64_t kWidth = kVectors * kSumLanes;
  Sums acc[kRows][kVectors] = {};
  if (kSplit && block.begin > 0) {
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v)
        acc[r][v] = load_sums(partial + r * kWidth + v * kSumLanes);
    }
  }
  int8_sums<kRows, kSplit>(g, block, row, acc);
  if (kSplit && block.end < g.k) {
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v)
        store_sums(partial + r * kWidth + v * kSumLanes, acc[r][v]);
    }
    return;
  }
  // The scales and sums are there for whole panels, whatever n is.
  Simd<float>::Vector result[kRows][kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const std::int64_t column = block.panel * kWidth + v * kSumLanes;
    const Sums offset = load_sums(g.b_sum + column);
    const Simd<float>::Vector scale = Simd<float>::load(g.b_scale + column);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      result[r][v] = __builtin_convertvector(acc[r][v] - offset, Simd<float>::Vector) * scale *
                     g.a_scale[row + r];
    }
  }
  finish_tile<float, kRows>(g.out, row, block.panel * kWidth, result);
}

static void split_block(const Int8Gemm& g, const Int8Block& block, std::int32_t* split) {
  constexpr std::int64_t kWidth = ELBEAM_PANEL_VECTORS * kSumLanes;
  const std::int8_t* b = g.packed + block.panel * kWidth * g.k;
  for (std::int64_t i = block.begin * kWidth; i < block.end * kWidth; i += 4 * kSumLanes) {
    store_split(split, split_column(load_sums(b + i)));
    split += kSplitWords;
  }
}

// Rows [row, row + rows) of one panel, at most kChunkRows, in tiles of about equal height. More
// than one tile share blocks that were taken apart before.
template <bool kSplit>
static void int8_chunk(const Int8Gemm& g, std::int64_t panel, std::int64_t row, std::int64_t rows) {
  constexpr std::int64_t kWidth = ELBEAM_PANEL_VECTORS * kSumLanes;
  constexpr std::int64_t kDepth = kSplitBytes / (2 * kWidth);
  alignas(64) std::int32_t partial[kSplit ? kChunkRows * kWidth : 1];
  alignas(64) std::int32_t split[kSplit ? kSplitBytes / 4 : 1];
  const std::int64_t tiles = (rows + kInt8TileRows - 1) / kInt8TileRows;
  Int8Block block;
  block.panel = panel;
  for (; block.end < g.k; block.begin = block.end) {
    block.end = kSplit && g.k - block.begin > kDepth ? block.begin + kDepth : g.k;
    if constexpr (kSplit) {
      split_block(g, block, split);
      block.split = split;
    }
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t first = rows * tile / tiles;
      with_rows(rows * (tile + 1) / tiles - first, [&](auto count) {
        int8_tile<count.value, kSplit>(g, block, row + first,
                                       partial + (kSplit ? first * kWidth : 0));
      });
    }
  }
}

static void multiply_int8(const Int8Gemm& g, std::int64_t begin, std::int64_t end) {
  constexpr bool kSplit = kQuadBytes > 4;
  const std::int64_t m = g.out.m;
  for (std::int64_t panel = begin; panel < end; ++panel) {
    if (!kSplit || m <= kInt8TileRows) {
      int8_chunk<false>(g, panel, 0, m);
      continue;
    }
    for (std::int64_t row = 0; row < m; row += kChunkRows)
      int8_chunk<kSplit>(g, panel, row, m - row < kChunkRows ? m - row : kChunkRows);
  }
}

// The largest magnitude of a row, in which NaN counts nothing.
static float largest_magnitude(const float* x, std::int64_t n) {
  using S = Simd<float>;
  S::Vector most{};
  std::int64_t i = 0;
  for (; i + S::kLanes <= n; i += S::kLanes) {
    const S::Vector value = S::load(x + i);
    most = S::max(S::max(value, -value), most);
  }
  float highest = S::reduce_max(most);
  for (; i < n; ++i) {
    const float magnitude = __builtin_fabsf(x[i]);
    highest = magnitude > highest ? magnitude : highest;
  }
  return highest;
}

static void quantize_row(const float* x, std::int64_t n, std::uint8_t* a, float* scale) {
  using S = Simd<float>;
#if ELBEAM_INT8_DOT
  typedef std::uint8_t Number;
#else
  typedef std::uint16_t Number;
#endif
  constexpr std::int64_t kBytes = static_cast<std::int64_t>(sizeof(Number));
  typedef Number Numbers __attribute__((vector_size(ELBEAM_VECTOR_BYTES / 4 * kBytes)));
  typedef Number UnalignedNumbers
      __attribute__((vector_size(ELBEAM_VECTOR_BYTES / 4 * kBytes), aligned(1), may_alias));
  const float highest = largest_magnitude(x, n);
  *scale = highest / 127.0F;
  const float factor = highest > 0.0F ? 127.0F / highest : 0.0F;
  // Adding 1.5 * 2^23 rounds to the nearest integer, which the low bits then hold.
  const float magic = 12582912.0F;
  std::int64_t i = 0;
  for (; i + S::kLanes <= n; i += S::kLanes) {
    const S::Vector shifted = S::load(x + i) * factor + magic;
    const Words values = (reinterpret_cast<Words>(shifted) + 128U) & 255U;
    *reinterpret_cast<UnalignedNumbers*>(a + i * kBytes) =
        quad_order(__builtin_convertvector(values, Numbers));
  }
  for (; i < (n + 3) / 4 * 4; ++i) {
    const float shifted = (i < n ? x[i] : 0.0F) * factor + magic;
    std::uint32_t bits = 0;
    __builtin_memcpy(&bits, &shifted, 4);
    const auto value = static_cast<Number>((bits + 128U) & 255U);
    __builtin_memcpy(a + quad_place(i) * kBytes, &value, sizeof(value));
  }
}

// A column of a panel [k / 4][panel width][4].
static void pack_int8_row(const float* x, std::int64_t k, std::int8_t* panel, float* scale,
                          std::int32_t* sum) {
  using S = Simd<float>;
  constexpr std::int64_t kStride = ELBEAM_PANEL_VECTORS * kSumLanes * 4;
  const float highest = largest_magnitude(x, k);
  S::Vector zeros{};  // becomes NaN at the first number that is not finite
  std::int64_t i = 0;
  for (; i + S::kLanes <= k; i += S::kLanes) zeros += S::load(x + i) * 0.0F;
  float zero = S::reduce_add(zeros);
  for (; i < k; ++i) zero += x[i] * 0.0F;
  *scale = zero == 0.0F ? highest / 127.0F : zero;
  if (zero != 0.0F || highest == 0.0F) return;
  constexpr float kMagic = 12582912.0F;  // as in quantize_row
  constexpr std::int32_t kMagicBits = 0x4b400000;
  typedef std::int8_t Bytes __attribute__((vector_size(ELBEAM_VECTOR_BYTES / 4)));
  Sums total{};
  for (i = 0; i < k; i += S::kLanes) {
    float part[S::kLanes] = {};
    const std::int64_t count = k - i < S::kLanes ? k - i : S::kLanes;
    __builtin_memcpy(part, x + i, static_cast<std::size_t>(count) * sizeof(float));
    const S::Vector shifted = S::load(part) / highest * 127.0F + kMagic;
    const Sums values = reinterpret_cast<Sums>(shifted) - kMagicBits;
    total += values;
    const Bytes bytes = __builtin_convertvector(values, Bytes);
    for (std::int64_t quad = 0; quad * 4 < count; ++quad) {
      __builtin_memcpy(panel + (i / 4 + quad) * kStride,
                       reinterpret_cast<const char*>(&bytes) + quad * 4, 4);
    }
  }
  for (std::int64_t lane = 0; lane < kSumLanes; ++lane) *sum += 128 * total[lane];
}

static void fill_int8(KernelTable<float>& table) {
  table.multiply_int8 = multiply_int8;
  table.quantize_row = quantize_row;
  table.pack_int8_row = pack_int8_row;
  table.int8_bytes = kQuadBytes / 4;
}

}  // namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE
