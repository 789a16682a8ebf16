// The numbers that device memory holds: float, Half and BFloat16. Arithmetic is done in float;
// these types are storage. Host and device convert alike (round to nearest even).
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define ELBEAM_PORTABLE __host__ __device__ inline
#else
#define ELBEAM_PORTABLE inline
#endif

namespace elbeam::kernels {

struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

ELBEAM_PORTABLE std::uint32_t float_bits(float value) {
  std::uint32_t bits = 0;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
ELBEAM_PORTABLE float bits_float(std::uint32_t bits) {
  float value = 0.0F;
  memcpy(&value, &bits, sizeof value);
  return value;
}

ELBEAM_PORTABLE float to_float(float value) { return value; }

ELBEAM_PORTABLE float to_float(BFloat16 value) {
  return bits_float(static_cast<std::uint32_t>(value.bits) << 16);
}

ELBEAM_PORTABLE float to_float(Half value) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(value.bits));
#else
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000U) << 16;
  const std::uint32_t rest = value.bits & 0x7fffU;
  if (rest >= 0x7c00U) return bits_float(sign | 0x7f800000U | (rest & 0x3ffU) << 13);
  // Shifted into place the exponent is 112 too small; one product mends that, denormals included.
  return bits_float(sign | float_bits(bits_float(rest << 13) * bits_float(0x77800000U)));
#endif
}

template <typename T>
ELBEAM_PORTABLE T from_float(float value);

template <>
ELBEAM_PORTABLE float from_float<float>(float value) {
  return value;
}

template <>
ELBEAM_PORTABLE BFloat16 from_float<BFloat16>(float value) {
#if defined(__CUDA_ARCH__)
  return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
#else
  const std::uint32_t bits = float_bits(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {0x7fff};  // NaN, as the device writes it
  return {static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16)};
#endif
}

template <>
ELBEAM_PORTABLE Half from_float<Half>(float value) {
#if defined(__CUDA_ARCH__)
  return {__half_as_ushort(__float2half_rn(value))};
#else
  const std::uint32_t bits = float_bits(value);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return {0x7fff};
  // 65520, halfway between the largest half and the next power of two, rounds to infinity.
  if (magnitude >= 0x477ff000U) return {static_cast<std::uint16_t>(sign | 0x7c00U)};
  if (magnitude < 0x38800000U) {
    // Denormal: adding 0.5 leaves the wanted digits, rounded, at the end of the sum.
    const std::uint32_t sum = float_bits(bits_float(magnitude) + 0.5F);
    return {static_cast<std::uint16_t>(sign | (sum - 0x3f000000U))};
  }
  const std::uint32_t rounded = magnitude + 0xfffU + (magnitude >> 13 & 1U);
  return {static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13))};
#endif
}

}  // namespace elbeam::kernels
