// The instructions of tensor cores (sm_80 and later), each in one wrapper; what they do on the
// emulated machine is in emulated/tensor_core.hpp, by the layouts that PTX documents. T is Half or
// BFloat16; a register holds two of them, the one with the smaller index in the low half.
#pragma once

#include "kernels/core/device.hpp"

#include <type_traits>

#if !defined(__CUDACC__)
#include "kernels/emulated/tensor_core.hpp"
#endif

namespace elbeam::kernels {

#if defined(__CUDACC__)

// sums += A B, of 16x16 and 16x8 numbers: mma.sync.m16n8k16, row-major A, column-major B.
template <typename T>
ELBEAM_DEVICE void multiply_fragments(float (&sums)[4], const std::uint32_t (&a)[4],
                                      std::uint32_t b0, std::uint32_t b1) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  if constexpr (std::is_same_v<T, Half>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};\n"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};\n"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
#endif
}

// Four matrices of 8x8 numbers from shared memory: lanes 8 i to 8 i + 7 give the rows of matrix i,
// 16 bytes each; every lane gets two numbers of each: ldmatrix.x4, or .trans of the transposed
// ones.
template <bool kTransposed>
ELBEAM_DEVICE void load_matrices(std::uint32_t (&to)[4], const void* row) {
  const auto from = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
  }
}

#else

using emulated::load_matrices;
using emulated::multiply_fragments;

#endif

// The same number, computed here and not earlier: what depends on it is not carried in registers
// through the loops before.
ELBEAM_DEVICE int computed_here(int value) {
#if defined(__CUDACC__)
  asm volatile("" : "+r"(value));
#endif
  return value;
}

// 2 to the power of x, with an error of two units in the last place: less than weights are rounded
// to.
ELBEAM_DEVICE float power_of_two(float x) {
#if defined(__CUDACC__)
  float power = 0.0F;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#else
  return exp2f(x);
#endif
}

// copy_async() of 16 bytes, or of zeros; sm_80's own instruction for the ends of arrays.
ELBEAM_DEVICE void copy_or_clear_async(void* to_shared, const void* from, bool copy) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(to_shared));
  const int bytes = copy ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(bytes)
               : "memory");
#else
  if (copy) {
    copy_async(to_shared, from);
  } else {
    store_128(to_shared, Bits128{{0, 0, 0, 0}});
  }
#endif
}

template <typename T>
ELBEAM_DEVICE std::uint32_t pack_pair(float low, float high) {
  return static_cast<std::uint32_t>(from_float<T>(low).bits) |
         static_cast<std::uint32_t>(from_float<T>(high).bits) << 16;
}
template <typename T>
ELBEAM_DEVICE float pair_sum(std::uint32_t pair) {
  return to_float(T{static_cast<std::uint16_t>(pair & 0xffffU)}) +
         to_float(T{static_cast<std::uint16_t>(pair >> 16)});
}

}  // namespace elbeam::kernels
