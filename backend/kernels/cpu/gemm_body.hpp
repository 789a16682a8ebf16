// Matrix products of one instruction set. See simd.hpp for the rules of these files.
#pragma once

#include "kernels/cpu/activation_body.hpp"
#include "kernels/kernels.hpp"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE {

// Rows of one register tile.
inline constexpr std::int64_t kTileRows = 6;
// A panel is multiplied in blocks of so many bytes, each with all rows of a chunk before the next
// one: the block stays in a cache however deep the matrix is. Sums wait on the stack in between. A
// few tiles want it in the L1 cache; many read it from L2 as fast as they compute, and fewer blocks
// mean fewer sums that wait.
inline constexpr std::int64_t kBlockBytes = 24 * 1024;
inline constexpr std::int64_t kDeepBlockBytes = 128 * 1024;
inline constexpr std::int64_t kFewTiles = 6;
inline constexpr std::int64_t kChunkRows = 96;

template <typename A, typename B>
struct IsSame {
  static constexpr bool value = false;
};
template <typename A>
struct IsSame<A, A> {
  static constexpr bool value = true;
};

// Calls function with the number of a tile's rows, 1 to kTileRows, as a constant.
template <int kRows>
struct RowCount {
  static constexpr int value = kRows;
};
template <typename Function>
static inline void with_rows(std::int64_t rows, Function&& function) {
  switch (rows) {
    case 6:
      return function(RowCount<6>{});
    case 5:
      return function(RowCount<5>{});
    case 4:
      return function(RowCount<4>{});
    case 3:
      return function(RowCount<3>{});
    case 2:
      return function(RowCount<2>{});
    default:
      return function(RowCount<1>{});
  }
}

// 16-bit numbers of packed weights.
struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};
// Two of them, as AVX512_BF16 multiplies them.
struct BFloat16Pair {
  std::uint32_t bits;
};
// One tile of rows widens them as it reads them; several tiles share blocks that were widened into
// a buffer.

typedef std::uint32_t Words __attribute__((vector_size(ELBEAM_VECTOR_BYTES)));
typedef std::uint16_t Shorts __attribute__((vector_size(ELBEAM_VECTOR_BYTES / 2)));
typedef std::uint16_t UnalignedShorts
    __attribute__((vector_size(ELBEAM_VECTOR_BYTES / 2), aligned(2), may_alias));

static inline Words load_words(const void* p) {
  return __builtin_convertvector(static_cast<Shorts>(*static_cast<const UnalignedShorts*>(p)),
                                 Words);
}

static inline Simd<float>::Vector widen(const BFloat16* p) {
  return reinterpret_cast<Simd<float>::Vector>(load_words(p) << 16);
}

static inline Simd<float>::Vector widen(const Half* p) {
#ifdef __AVX512F__
  return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__F16C__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  using V = Simd<float>::Vector;
  const Words bits = load_words(p);
  const Words magnitude = (bits & 0x7fffU) << 13;
  const V smallest = reinterpret_cast<V>(Words{} + (113U << 23));  // of fp16's normal numbers
  const V subnormal = reinterpret_cast<V>(magnitude + (113U << 23)) - smallest;
  const V normal = reinterpret_cast<V>(magnitude + (112U << 23));
  const V special = reinterpret_cast<V>(magnitude | (255U << 23));  // inf, NaN
  V value = magnitude < (1U << 23) ? subnormal : normal;
  value = magnitude >= (31U << 23) ? special : value;
  return reinterpret_cast<V>(reinterpret_cast<Words>(value) | (bits & 0x8000U) << 16);
#endif
}

static inline Simd<float>::Vector widen(const float* p) { return Simd<float>::load(p); }
static inline Simd<double>::Vector widen(const double* p) { return Simd<double>::load(p); }

// What a tile does with a number of A and a vector of B's, which is what widen() makes of them.
template <typename Stored, typename T>
static inline typename Simd<T>::Vector spread(const T* a) {
  return Simd<T>::broadcast(*a);
}
template <typename Stored, typename Vector>
static inline Vector add_product(Vector sum, Vector a, Vector b) {
  return sum + a * b;
}

#if ELBEAM_BFLOAT16_DOT
static inline Simd<float>::Vector widen(const BFloat16Pair* p) {  // stays what it is
  return reinterpret_cast<Simd<float>::Vector>(_mm512_loadu_si512(p));
}
template <>
inline Simd<float>::Vector spread<BFloat16Pair>(const float* a) {  // whatever number the bits are
  std::int32_t bits = 0;
  __builtin_memcpy(&bits, a, sizeof bits);
  return reinterpret_cast<Simd<float>::Vector>(_mm512_set1_epi32(bits));
}
template <>
inline Simd<float>::Vector add_product<BFloat16Pair>(Simd<float>::Vector sum, Simd<float>::Vector a,
                                                     Simd<float>::Vector b) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}
#endif

template <typename Stored>
static inline void widen_block(const Stored* from, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; i += Simd<float>::kLanes)
    Simd<float>::store(to + i, widen(from + i));
}

// acc[r][v] += sum over k of a[r][k] * b[k][v], all accumulators in registers. kLines cache lines
// from `ahead` on are fetched into the cache in each round, for whoever comes next.
template <typename T, int kRows, int kVectors, int kLines = 0, typename Stored = T>
static inline void multiply_tile(std::int64_t depth, const T* a, std::int64_t lda, const Stored* b,
                                 std::int64_t ldb, typename Simd<T>::Vector (&acc)[kRows][kVectors],
                                 const char* ahead = nullptr) {
  using S = Simd<T>;
  for (std::int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 4
    for (int line = 0; line < kLines; ++line) {
      __builtin_prefetch(ahead + (k * kLines + line) * 64, 0, 2);
    }
    typename S::Vector column[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) column[v] = widen(b + k * ldb + v * S::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const typename S::Vector value = spread<Stored>(a + r * lda + k);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        acc[r][v] = add_product<Stored>(acc[r][v], value, column[v]);
    }
  }
}

// One finished vector: bias, activation, residual, and a store that respects the last columns.
template <typename T>
static inline void finish_vector(const PackedGemm<T>& g, std::int64_t row, std::int64_t column,
                                 typename Simd<T>::Vector value) {
  using S = Simd<T>;
  T* out = g.c + row * g.ldc + column;
  const std::int64_t count = g.n - column;
  if (count >= S::kLanes) {
    if (g.bias != nullptr) value += S::load(g.bias + column);
    value = activate<T>(g.activation, value);
    if (g.residual != nullptr) value += S::load(g.residual + row * g.ldc + column);
    S::store(out, value);
    return;
  }
  T parts[S::kLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) parts[i] = g.bias != nullptr ? g.bias[column + i] : T{0};
  value = activate<T>(g.activation, value + S::load(parts));
  S::store(parts, value);
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = g.residual != nullptr ? parts[i] + g.residual[row * g.ldc + column + i] : parts[i];
  }
}

// The finished tile at [row, column]. Inlined, so that the sums stay in registers where all columns
// are there and nothing slower than relu is asked for, as is the case of most tiles.
template <typename T, int kRows>
__attribute__((always_inline)) static inline void finish_tile(
    const PackedGemm<T>& g, std::int64_t row, std::int64_t column,
    typename Simd<T>::Vector (&acc)[kRows][ELBEAM_PANEL_VECTORS]) {
  using S = Simd<T>;
  constexpr int kVectors = ELBEAM_PANEL_VECTORS;
  const bool relu = g.activation == Activation::kRelu;
  if (g.n - column < kVectors * S::kLanes || (g.activation != Activation::kNone && !relu)) {
    typename S::Vector sums[kRows][kVectors];  // indexed by variables, which registers are not
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] = acc[r][v];
    }
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        const std::int64_t place = column + v * S::kLanes;
        if (place < g.n) finish_vector(g, row + r, place, sums[r][v]);
      }
    }
    return;
  }
  if (g.bias != nullptr) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const typename S::Vector bias = S::load(g.bias + column + v * S::kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[r][v] += bias;
    }
  }
  const std::int64_t first = row * g.ldc + column;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t place = first + r * g.ldc + v * S::kLanes;
      if (relu) acc[r][v] = activate<T>(Activation::kRelu, acc[r][v]);
      if (g.residual != nullptr) acc[r][v] += S::load(g.residual + place);
      S::store(g.c + place, acc[r][v]);
    }
  }
}

// One block of one panel.
template <typename T, typename Stored = T>
struct PanelBlock {
  const T* a = nullptr;  // row 0, first column of the block
  const Stored* b = nullptr;
  std::int64_t depth = 0;
  std::int64_t column = 0;  // of C
  bool first = true, last = true;
  const char* ahead = nullptr;  // what to fetch meanwhile, `lines` cache lines a round
  int lines = 0;
};

template <typename T, int kRows, int kLines, typename Stored>
static inline void block_tile(const PackedGemm<T>& g, const PanelBlock<T, Stored>& block,
                              std::int64_t row, T* partial) {
  using S = Simd<T>;
  constexpr int kVectors = ELBEAM_PANEL_VECTORS;
  constexpr std::int64_t kWidth = kVectors * S::kLanes;
  typename S::Vector acc[kRows][kVectors] = {};
  if (!block.first) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = S::load(partial + r * kWidth + v * S::kLanes);
    }
  }
  multiply_tile<T, kRows, kVectors, kLines, Stored>(block.depth, block.a + row * g.lda, g.lda,
                                                    block.b, kWidth, acc, block.ahead);
  if (!block.last) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) S::store(partial + r * kWidth + v * S::kLanes, acc[r][v]);
    }
    return;
  }
  finish_tile<T, kRows>(g, row, block.column, acc);
}

template <typename T, int kRows, typename Stored>
static void block_rows(const PackedGemm<T>& g, const PanelBlock<T, Stored>& block, std::int64_t row,
                       T* partial) {
  // Weights that are widened as they are read are computed with as long as memory takes.
  if constexpr (sizeof(Stored) < sizeof(T)) return block_tile<T, kRows, 0>(g, block, row, partial);
  switch (block.lines) {
    case 0:
      block_tile<T, kRows, 0>(g, block, row, partial);
      break;
    case 1:
      block_tile<T, kRows, 1>(g, block, row, partial);
      break;
    default:
      block_tile<T, kRows, 2>(g, block, row, partial);
      break;
  }
}

// Rows [row, row + rows) of one panel, at most kChunkRows; tiles of about equal height, since a low
// one spends its time on loading the panel. `B` is T where blocks are widened first.
template <typename T, typename Stored, typename B>
static void packed_chunk(const PackedGemm<T>& g, std::int64_t panel, std::int64_t row,
                         std::int64_t rows) {
  constexpr std::int64_t kWidth = ELBEAM_PANEL_VECTORS * Simd<T>::kLanes;
  constexpr std::int64_t kPanelLines = kWidth * static_cast<std::int64_t>(sizeof(Stored)) / 64;
  constexpr bool kWidened = !IsSame<B, Stored>::value;
  constexpr std::int64_t kLineBytes = kWidth * static_cast<std::int64_t>(sizeof(B));
  constexpr std::int64_t kDepth = kBlockBytes / kLineBytes;
  alignas(64) T partial[kChunkRows * kWidth];
  alignas(64) T widened[kWidened ? kDepth * kWidth : 1];
  const Stored* b = static_cast<const Stored*>(g.packed) + panel * kWidth * g.k;
  const std::int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  // With a few tiles the block is read from memory by the first one, and the others compute
  // while memory idles: they fetch the block that follows. One tile is bound by memory throughout.
  const bool fetch = tiles >= 2 && rows == g.m;
  std::int64_t depth = kDepth;
  if (!kWidened && tiles == 1) depth = g.k;
  if (!kWidened && tiles > kFewTiles) depth = kDeepBlockBytes / kLineBytes;
  for (std::int64_t k = 0; k < g.k; k += depth) {
    PanelBlock<T, B> block;
    block.a = g.a + k;
    block.depth = g.k - k < depth ? g.k - k : depth;
    block.column = panel * kWidth;
    block.first = k == 0;
    block.last = k + block.depth == g.k;
    if constexpr (kWidened) {
      widen_block(b + k * kWidth, block.depth * kWidth, widened);
      block.b = widened;
    } else {
      block.b = b + k * kWidth;
    }
    const char* next = reinterpret_cast<const char*>(b + (k + block.depth) * kWidth);
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t first = rows * tile / tiles;
      const std::int64_t line = kPanelLines * tile / tiles;
      block.lines = fetch ? static_cast<int>(kPanelLines * (tile + 1) / tiles - line) : 0;
      block.ahead = next + line * block.depth * 64;
      with_rows(rows * (tile + 1) / tiles - first, [&](auto count) {
        block_rows<T, count.value>(g, block, row + first, partial + first * kWidth);
      });
    }
  }
}

// `Shared` is what several tiles read: T, where blocks are widened for them, or Stored.
template <typename T, typename Stored, typename Shared = T>
static void gemm_stored(const PackedGemm<T>& g, std::int64_t begin, std::int64_t end) {
  for (std::int64_t panel = begin; panel < end; ++panel) {
    if (g.m <= kTileRows) {
      packed_chunk<T, Stored, Stored>(g, panel, 0, g.m);
      continue;
    }
    for (std::int64_t row = 0; row < g.m; row += kChunkRows) {
      packed_chunk<T, Stored, Shared>(g, panel, row,
                                      g.m - row < kChunkRows ? g.m - row : kChunkRows);
    }
  }
}

template <typename T>
static void gemm_packed(const PackedGemm<T>& g, std::int64_t begin, std::int64_t end) {
  if constexpr (IsSame<T, float>::value) {
    if (g.storage == Storage::kHalf) return gemm_stored<T, Half>(g, begin, end);
    if (g.storage == Storage::kBFloat16) return gemm_stored<T, BFloat16>(g, begin, end);
  }
  gemm_stored<T, T>(g, begin, end);
}

template <typename T>
static void pack_panels(const T* b, std::int64_t ldb, std::int64_t n, std::int64_t k, T* packed) {
  constexpr std::int64_t kWidth = ELBEAM_PANEL_VECTORS * Simd<T>::kLanes;
  constexpr std::int64_t kBlock = 16;  // a cache line of B, and a piece of the panel that fits L1
  for (std::int64_t first = 0; first < n; first += kWidth) {
    const std::int64_t count = n - first < kWidth ? n - first : kWidth;
    for (std::int64_t block = 0; block < k; block += kBlock) {
      const std::int64_t end = k - block < kBlock ? k : block + kBlock;
      for (std::int64_t j = 0; j < kWidth; ++j) {
        for (std::int64_t i = block; i < end; ++i) {
          packed[i * kWidth + j] = j < count ? b[(first + j) * ldb + i] : T{0};
        }
      }
    }
    packed += kWidth * k;
  }
}

template <typename T, int kRows, int kVectors>
static inline void plain_tile(const Gemm<T>& g, std::int64_t row, std::int64_t column) {
  using S = Simd<T>;
  typename S::Vector acc[kRows][kVectors] = {};
  multiply_tile<T, kRows, kVectors>(g.k, g.a + row * g.lda, g.lda, g.b + column, g.ldb, acc);
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      S::store(g.c + (row + r) * g.ldc + column + v * S::kLanes, acc[r][v]);
    }
  }
}

template <typename T, int kRows>
static void plain_rows(const Gemm<T>& g, std::int64_t row) {
  using S = Simd<T>;
  constexpr int kVectors = ELBEAM_PANEL_VECTORS;
  std::int64_t column = 0;
  for (; column + kVectors * S::kLanes <= g.n; column += kVectors * S::kLanes) {
    plain_tile<T, kRows, kVectors>(g, row, column);
  }
  for (; column + S::kLanes <= g.n; column += S::kLanes) plain_tile<T, kRows, 1>(g, row, column);
  for (; column < g.n; ++column) {
    for (int r = 0; r < kRows; ++r) {
      T sum{0};
      for (std::int64_t k = 0; k < g.k; ++k)
        sum += g.a[(row + r) * g.lda + k] * g.b[k * g.ldb + column];
      g.c[(row + r) * g.ldc + column] = sum;
    }
  }
}

template <typename T>
static void gemm_nn(const Gemm<T>& g) {
  std::int64_t row = 0;
  for (; row + kTileRows <= g.m; row += kTileRows) plain_rows<T, kTileRows>(g, row);
  if (row < g.m) with_rows(g.m - row, [&](auto count) { plain_rows<T, count.value>(g, row); });
}

// A tile of dot products: rows of A against rows of B, both read along their rows.
template <typename T, int kRows, int kColumns>
static inline void dot_tile(const Gemm<T>& g, std::int64_t row, std::int64_t column) {
  using S = Simd<T>;
  typename S::Vector acc[kRows][kColumns] = {};
  std::int64_t k = 0;
  for (; k + S::kLanes <= g.k; k += S::kLanes) {
    typename S::Vector right[kColumns];
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) right[j] = S::load(g.b + (column + j) * g.ldb + k);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const typename S::Vector left = S::load(g.a + (row + r) * g.lda + k);
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) acc[r][j] += left * right[j];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < kColumns; ++j) {
      T sum = S::reduce_add(acc[r][j]);
      for (std::int64_t i = k; i < g.k; ++i) {
        sum += g.a[(row + r) * g.lda + i] * g.b[(column + j) * g.ldb + i];
      }
      g.c[(row + r) * g.ldc + column + j] = sum;
    }
  }
}

template <typename T, int kRows>
static void dot_rows(const Gemm<T>& g, std::int64_t row) {
  std::int64_t column = 0;
  for (; column + 4 <= g.n; column += 4) dot_tile<T, kRows, 4>(g, row, column);
  for (; column < g.n; ++column) dot_tile<T, kRows, 1>(g, row, column);
}

template <typename T>
static void gemm_nt(const Gemm<T>& g) {
  // 3 x 4 accumulators and 5 operands fit the 16 vector registers of AVX2.
  std::int64_t row = 0;
  for (; row + 3 <= g.m; row += 3) dot_rows<T, 3>(g, row);
  if (g.m - row == 2) dot_rows<T, 2>(g, row);
  if (g.m - row == 1) dot_rows<T, 1>(g, row);
}

}  // namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE
