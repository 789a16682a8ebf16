// Matrix products of one instruction set. See simd.hpp for the rules of these files.
#pragma once

#include "kernels/cpu/activation_body.hpp"
#include "kernels/kernels.hpp"

namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE {

// Rows of one register tile, and the depth after which a panel would fall out of the L2 cache.
inline constexpr std::int64_t kTileRows = 6;
inline constexpr std::int64_t kDepthBlock = 512;

// acc[r][v] += sum over k of a[r][k] * b[k][v], all accumulators in registers.
template <typename T, int kRows, int kVectors>
static inline void multiply_tile(std::int64_t depth, const T* a, std::int64_t lda, const T* b,
                                 std::int64_t ldb,
                                 typename Simd<T>::Vector (&acc)[kRows][kVectors]) {
  using S = Simd<T>;
  for (std::int64_t k = 0; k < depth; ++k) {
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

template <typename T, int kRows>
static void packed_rows(const PackedGemm<T>& g, std::int64_t row, std::int64_t panel) {
  using S = Simd<T>;
  constexpr int kVectors = ELBEAM_PANEL_VECTORS;
  constexpr std::int64_t kWidth = kVectors * S::kLanes;
  typename S::Vector acc[kRows][kVectors] = {};
  const T* b = g.packed + panel * kWidth * g.k;
  for (std::int64_t k = 0; k < g.k; k += kDepthBlock) {
    const std::int64_t depth = g.k - k < kDepthBlock ? g.k - k : kDepthBlock;
    multiply_tile<T, kRows, kVectors>(depth, g.a + row * g.lda + k, g.lda, b + k * kWidth, kWidth,
                                      acc);
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t column = panel * kWidth + v * S::kLanes;
      if (column < g.n) finish_vector(g, row + r, column, acc[r][v]);
    }
  }
}

template <typename T>
static void gemm_packed(const PackedGemm<T>& g, std::int64_t begin, std::int64_t end) {
  for (std::int64_t panel = begin; panel < end; ++panel) {
    std::int64_t row = 0;
    for (; row + kTileRows <= g.m; row += kTileRows) packed_rows<T, kTileRows>(g, row, panel);
    switch (g.m - row) {
      case 5:
        packed_rows<T, 5>(g, row, panel);
        break;
      case 4:
        packed_rows<T, 4>(g, row, panel);
        break;
      case 3:
        packed_rows<T, 3>(g, row, panel);
        break;
      case 2:
        packed_rows<T, 2>(g, row, panel);
        break;
      case 1:
        packed_rows<T, 1>(g, row, panel);
        break;
      default:
        break;
    }
  }
}

template <typename T>
static void pack_panels(const T* b, std::int64_t ldb, std::int64_t n, std::int64_t k, T* packed) {
  constexpr std::int64_t kWidth = ELBEAM_PANEL_VECTORS * Simd<T>::kLanes;
  for (std::int64_t first = 0; first < n; first += kWidth) {
    const std::int64_t count = n - first < kWidth ? n - first : kWidth;
    for (std::int64_t j = 0; j < kWidth; ++j) {
      for (std::int64_t i = 0; i < k; ++i) {
        packed[i * kWidth + j] = j < count ? b[(first + j) * ldb + i] : T{0};
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
