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

// Four unsigned bytes of A in each lane, in the form that add_dot wants them: as they are for the
// instruction that takes them so, else bytes 0 and 2 apart from bytes 1 and 3.
#if ELBEAM_INT8_DOT
struct Quad {
  Sums bytes;
};
#else
struct Quad {
  Sums even, odd;
};
#endif

static inline Quad spread_quad(const std::uint8_t* a) {
  std::uint32_t bits = 0;
  __builtin_memcpy(&bits, a, 4);
  Quad quad{};
#if ELBEAM_INT8_DOT
  quad.bytes = Sums{} + static_cast<std::int32_t>(bits);
#else
  quad.even = Sums{} + static_cast<std::int32_t>(bits & 0x00ff00ffU);
  quad.odd = Sums{} + static_cast<std::int32_t>((bits >> 8) & 0x00ff00ffU);
#endif
  return quad;
}

// sum + the products of four unsigned bytes of A and four signed bytes of B, in each lane. Exact:
// 16-bit products of pairs, since the 8-bit instruction of AVX2 saturates.
static inline Sums add_dot(Sums sum, const Quad& a, Sums b) {
#if ELBEAM_INT8_DOT
  return reinterpret_cast<Sums>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum),
                                                    reinterpret_cast<__m512i>(a.bytes),
                                                    reinterpret_cast<__m512i>(b)));
#else
  typedef std::int16_t Pairs __attribute__((vector_size(ELBEAM_VECTOR_BYTES)));
  const auto bytes = reinterpret_cast<Pairs>(b);
  const auto even = reinterpret_cast<Sums>((bytes << 8) >> 8);
  const auto odd = reinterpret_cast<Sums>(bytes >> 8);
  return sum + multiply_pairs(a.even, even) + multiply_pairs(a.odd, odd);
#endif
}

template <int kRows>
static void int8_rows(const Int8Gemm& g, std::int64_t row, std::int64_t panel) {
  constexpr int kVectors = ELBEAM_PANEL_VECTORS;
  constexpr std::int64_t kWidth = kVectors * kSumLanes;
  Sums acc[kRows][kVectors] = {};
  const std::int8_t* b = g.packed + panel * kWidth * g.k;
  const std::uint8_t* a = g.a + row * g.k;
  for (std::int64_t k = 0; k < g.k; k += 4) {
    Sums column[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) column[v] = load_sums(b + k * kWidth + v * 4 * kSumLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const Quad quad = spread_quad(a + r * g.k + k);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = add_dot(acc[r][v], quad, column[v]);
    }
  }
  // The scales and sums are there for whole panels, whatever n is.
  Simd<float>::Vector result[kRows][kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const std::int64_t column = panel * kWidth + v * kSumLanes;
    const Sums offset = load_sums(g.b_sum + column);
    const Simd<float>::Vector scale = Simd<float>::load(g.b_scale + column);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      result[r][v] = __builtin_convertvector(acc[r][v] - offset, Simd<float>::Vector) * scale *
                     g.a_scale[row + r];
    }
  }
  finish_tile<float, kRows>(g.out, row, panel * kWidth, result);
}

static void multiply_int8(const Int8Gemm& g, std::int64_t begin, std::int64_t end) {
  const std::int64_t m = g.out.m;
  const std::int64_t tiles = (m + kTileRows - 1) / kTileRows;
  for (std::int64_t panel = begin; panel < end; ++panel) {
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t row = m * tile / tiles;
      switch (m * (tile + 1) / tiles - row) {
        case 6:
          int8_rows<6>(g, row, panel);
          break;
        case 5:
          int8_rows<5>(g, row, panel);
          break;
        case 4:
          int8_rows<4>(g, row, panel);
          break;
        case 3:
          int8_rows<3>(g, row, panel);
          break;
        case 2:
          int8_rows<2>(g, row, panel);
          break;
        default:
          int8_rows<1>(g, row, panel);
          break;
      }
    }
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
  typedef std::uint8_t Bytes __attribute__((vector_size(ELBEAM_VECTOR_BYTES / 4)));
  typedef std::uint8_t UnalignedBytes
      __attribute__((vector_size(ELBEAM_VECTOR_BYTES / 4), aligned(1), may_alias));
  const float highest = largest_magnitude(x, n);
  *scale = highest / 127.0F;
  const float factor = highest > 0.0F ? 127.0F / highest : 0.0F;
  // Adding 1.5 * 2^23 rounds to the nearest integer, which the low bits then hold.
  const float magic = 12582912.0F;
  std::int64_t i = 0;
  for (; i + S::kLanes <= n; i += S::kLanes) {
    const S::Vector shifted = S::load(x + i) * factor + magic;
    *reinterpret_cast<UnalignedBytes*>(a + i) =
        __builtin_convertvector(reinterpret_cast<Words>(shifted) + 128U, Bytes);
  }
  for (; i < n; ++i) {
    const float shifted = x[i] * factor + magic;
    std::uint32_t bits = 0;
    __builtin_memcpy(&bits, &shifted, 4);
    a[i] = static_cast<std::uint8_t>(bits + 128U);
  }
  for (; i % 4 != 0; ++i) a[i] = 128;
}

}  // namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE
