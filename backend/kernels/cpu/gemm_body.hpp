// Matrix products of one instruction set. See simd.hpp for the rules of these files.
#pragma once

#include "kernels/cpu/activation_body.hpp"
#include "kernels/kernels.hpp"

namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE {

// Rows of one register tile.
inline constexpr std::int64_t kTileRows = 6;
// A panel is multiplied in blocks of this depth, each with all rows of a chunk before the next one:
// the block stays in the L2 cache however deep the matrix is. Sums wait on the stack in between.
inline constexpr std::int64_t kDepthBlock = 512;
inline constexpr std::int64_t kChunkRows = 96;

// acc[r][v] += sum over k of a[r][k] * b[k][v], all accumulators in registers. kLines cache lines
// from `ahead` on are fetched into the cache in each round, for whoever comes next.
template <typename T, int kRows, int kVectors, int kLines = 0>
static inline void multiply_tile(std::int64_t depth, const T* a, std::int64_t lda, const T* b,
                                 std::int64_t ldb, typename Simd<T>::Vector (&acc)[kRows][kVectors],
                                 const T* ahead = nullptr) {
  using S = Simd<T>;
  constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
  for (std::int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 4
    for (int line = 0; line < kLines; ++line) {
      __builtin_prefetch(ahead + (k * kLines + line) * kLine, 0, 2);
    }
    typename S::Vector column[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) column[v] = S::load(b + k * ldb + v * S::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const typename S::Vector value = S::broadcast(a[r * lda + k]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) acc[r][v] += value * column[v];
    }
  }
}

// The finished tile: bias, activation, residual, and a store that respects the last columns.
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

// One block of one panel.
template <typename T>
struct PanelBlock {
  const T* a = nullptr;  // row 0, first column of the block
  const T* b = nullptr;
  std::int64_t depth = 0;
  std::int64_t column = 0;  // of C
  bool first = true, last = true;
  const T* ahead = nullptr;  // what to fetch meanwhile, `lines` cache lines a round; or nullptr
  int lines = 0;
};

template <typename T, int kRows, int kLines>
static inline void block_tile(const PackedGemm<T>& g, const PanelBlock<T>& block, std::int64_t row,
                              T* partial) {
  using S = Simd<T>;
  constexpr int kVectors = ELBEAM_PANEL_VECTORS;
  constexpr std::int64_t kWidth = kVectors * S::kLanes;
  typename S::Vector acc[kRows][kVectors] = {};
  if (!block.first) {
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) acc[r][v] = S::load(partial + r * kWidth + v * S::kLanes);
    }
  }
  multiply_tile<T, kRows, kVectors, kLines>(block.depth, block.a + row * g.lda, g.lda, block.b,
                                            kWidth, acc, block.ahead);
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t column = block.column + v * S::kLanes;
      if (!block.last) {
        S::store(partial + r * kWidth + v * S::kLanes, acc[r][v]);
      } else if (column < g.n) {
        finish_vector(g, row + r, column, acc[r][v]);
      }
    }
  }
}

template <typename T, int kRows>
static void block_rows(const PackedGemm<T>& g, const PanelBlock<T>& block, std::int64_t row,
                       T* partial) {
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

template <typename T>
static void block_any_rows(const PackedGemm<T>& g, const PanelBlock<T>& block, std::int64_t row,
                           std::int64_t rows, T* partial) {
  switch (rows) {
    case 6:
      block_rows<T, 6>(g, block, row, partial);
      break;
    case 5:
      block_rows<T, 5>(g, block, row, partial);
      break;
    case 4:
      block_rows<T, 4>(g, block, row, partial);
      break;
    case 3:
      block_rows<T, 3>(g, block, row, partial);
      break;
    case 2:
      block_rows<T, 2>(g, block, row, partial);
      break;
    default:
      block_rows<T, 1>(g, block, row, partial);
      break;
  }
}

// Rows [row, row + rows) of one panel, at most kChunkRows; tiles of about equal height, since a low
// one spends its time on loading the panel.
template <typename T>
static void packed_chunk(const PackedGemm<T>& g, std::int64_t panel, std::int64_t row,
                         std::int64_t rows) {
  constexpr std::int64_t kWidth = ELBEAM_PANEL_VECTORS * Simd<T>::kLanes;
  constexpr std::int64_t kPanelLines = kWidth * static_cast<std::int64_t>(sizeof(T)) / 64;
  alignas(64) T partial[kChunkRows * kWidth];
  const T* b = g.packed + panel * kWidth * g.k;
  const std::int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  // With a few tiles the block is read from memory by the first one, and the others compute
  // while memory idles: they fetch the block that follows. More tiles hide it anyway.
  const bool fetch = tiles >= 2 && rows == g.m;
  const std::int64_t lines = (kPanelLines + tiles - 1) / tiles;
  for (std::int64_t k = 0; k < g.k; k += kDepthBlock) {
    PanelBlock<T> block;
    block.a = g.a + k;
    block.b = b + k * kWidth;
    block.depth = g.k - k < kDepthBlock ? g.k - k : kDepthBlock;
    block.column = panel * kWidth;
    block.first = k == 0;
    block.last = k + block.depth == g.k;
    const T* next = block.b + block.depth * kWidth;
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t first = rows * tile / tiles;
      block.lines = fetch && tile * lines < kPanelLines ? static_cast<int>(lines) : 0;
      block.ahead = next + tile * lines * block.depth * (64 / static_cast<std::int64_t>(sizeof(T)));
      block_any_rows(g, block, row + first, rows * (tile + 1) / tiles - first,
                     partial + first * kWidth);
    }
  }
}

template <typename T>
static void gemm_packed(const PackedGemm<T>& g, std::int64_t begin, std::int64_t end) {
  for (std::int64_t panel = begin; panel < end; ++panel) {
    for (std::int64_t row = 0; row < g.m; row += kChunkRows) {
      packed_chunk(g, panel, row, g.m - row < kChunkRows ? g.m - row : kChunkRows);
    }
  }
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
  switch (g.m - row) {
    case 5:
      plain_rows<T, 5>(g, row);
      break;
    case 4:
      plain_rows<T, 4>(g, row);
      break;
    case 3:
      plain_rows<T, 3>(g, row);
      break;
    case 2:
      plain_rows<T, 2>(g, row);
      break;
    case 1:
      plain_rows<T, 1>(g, row);
      break;
    default:
      break;
  }
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
