// Vector types of one instruction set. Included by the isa_*.cpp files only, each of which defines
//   ELBEAM_ISA_NAMESPACE   a namespace of its own
//   ELBEAM_VECTOR_BYTES    the vector's size
//   ELBEAM_PANEL_VECTORS   vectors in the width of one packed panel
//   ELBEAM_INT8_DOT        1 where AVX-512 VNNI may be used
//   ELBEAM_BFLOAT16_DOT    1 where AVX512_BF16 may be used
// Nothing here may come from the standard library's inline functions: compiled with wider
// instructions, the linker could pick that copy for the whole program.
#pragma once

#include "kernels/kernels.hpp"

#include <cstdint>
#include <utility>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE {

template <typename T>
struct Simd {
  typedef T Vector __attribute__((vector_size(ELBEAM_VECTOR_BYTES)));
  typedef T Unaligned
      __attribute__((vector_size(ELBEAM_VECTOR_BYTES), aligned(alignof(T)), may_alias));
  static constexpr std::int64_t kLanes = ELBEAM_VECTOR_BYTES / static_cast<std::int64_t>(sizeof(T));

  static inline Vector load(const T* p) { return *reinterpret_cast<const Unaligned*>(p); }
  static inline void store(T* p, Vector v) { *reinterpret_cast<Unaligned*>(p) = v; }
  static inline Vector broadcast(T value) { return value - Vector{}; }
  static inline Vector max(Vector a, Vector b) { return a > b ? a : b; }

  // Sum of all lanes, pairwise: log2(lanes) shuffles.
  static inline T reduce_add(Vector v) { return fold<kLanes / 2>(v)[0]; }
  static inline T reduce_max(Vector v) { return fold_max<kLanes / 2>(v)[0]; }

 private:
  template <int kShift, int... kIndex>
  static inline Vector rotate(Vector v, std::integer_sequence<int, kIndex...>) {
    return __builtin_shufflevector(v, v, ((kIndex + kShift) % static_cast<int>(kLanes))...);
  }
  template <int kShift>
  static inline Vector fold_max(Vector v) {
    if constexpr (kShift == 0) {
      return v;
    } else {
      return fold_max<kShift / 2>(
          max(v, rotate<kShift>(v, std::make_integer_sequence<int, static_cast<int>(kLanes)>{})));
    }
  }
  template <int kShift>
  static inline Vector fold(Vector v) {
    if constexpr (kShift == 0) {
      return v;
    } else {
      return fold<kShift / 2>(
          v + rotate<kShift>(v, std::make_integer_sequence<int, static_cast<int>(kLanes)>{}));
    }
  }
};

// exp(x - n ln2) for the integer n nearest to x / ln2, to about 1 ulp.
static inline Simd<float>::Vector exp_of_rest(Simd<float>::Vector x, Simd<float>::Vector n) {
  using V = Simd<float>::Vector;
  V r = x - n * 0.693359375F;
  r = r - n * -2.12194440e-4F;
  V p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  return p * (r * r) + r + 1.0F;
}

// exp for float vectors in [-88, 88].
static inline Simd<float>::Vector exp_in_range(Simd<float>::Vector x) {
  using V = Simd<float>::Vector;
  typedef std::int32_t Bits __attribute__((vector_size(ELBEAM_VECTOR_BYTES)));
  const V magic = Simd<float>::broadcast(12582912.0F);  // 1.5 * 2^23: adding it rounds to integer
  const V shifted = x * 1.44269504088896341F + magic;
  const V y = exp_of_rest(x, shifted - magic);
  // n lies in the low bits of `shifted`; moved to the exponent field it multiplies y by 2^n.
  const Bits exponent = (reinterpret_cast<Bits>(shifted) - reinterpret_cast<Bits>(magic)) << 23;
  return reinterpret_cast<V>(reinterpret_cast<Bits>(y) + exponent);
}

// Below -87.3 the result is 0 (torch would give a denormal), above 88.7 inf; NaN stays NaN.
static inline Simd<float>::Vector exp_vector(Simd<float>::Vector x) {
  using V = Simd<float>::Vector;
  const V clamped = x < -88.0F ? Simd<float>::broadcast(-88.0F) : x;
  const V high = clamped > 88.0F ? Simd<float>::broadcast(88.0F) : clamped;
  V result = exp_in_range(high);
  result = x < -87.3F ? V{} : result;
  result = x > 88.7F ? Simd<float>::broadcast(__builtin_inff()) : result;
  return x != x ? x : result;
}

// The same of numbers that are not above 0: softmax's, less the largest of them. NaN stays NaN.
static inline Simd<float>::Vector exp_not_positive(Simd<float>::Vector x) {
  using V = Simd<float>::Vector;
#ifdef __AVX512F__
  // The scaling instruction takes care of what is too small, and of NaN; -inf has to be kept out of
  // the differences. (Masked forms: g++ 12 warns of its own headers' others.)
  const V bounded = x < -150.0F ? Simd<float>::broadcast(-150.0F) : x;
  const V n =
      _mm512_maskz_roundscale_ps(0xffff, bounded * 1.44269504088896341F, _MM_FROUND_TO_NEAREST_INT);
  return _mm512_maskz_scalef_ps(0xffff, exp_of_rest(bounded, n), n);
#else
  V result = exp_in_range(x < -88.0F ? Simd<float>::broadcast(-88.0F) : x);
  result = x < -87.3F ? V{} : result;
  return x != x ? x : result;
#endif
}

// Doubles are the proof mode: the C library's exp, lane by lane.
static inline Simd<double>::Vector exp_vector(Simd<double>::Vector x) {
  for (std::int64_t i = 0; i < Simd<double>::kLanes; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}
static inline Simd<double>::Vector exp_not_positive(Simd<double>::Vector x) {
  return exp_vector(x);
}

}  // namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE
