// What a kernel may use of the machine that runs it. Under nvcc these are CUDA's built-ins; for
// every other compiler they are calls of the emulated machine (emulated/machine.hpp), so that the
// same kernel bodies are run and checked on a CPU.
//
// A kernel is a struct:
//   using Args = ...;                        plain data, passed by value
//   static constexpr const char* kName;
//   static constexpr int kMaxThreads;        largest block that it is launched with
//   static constexpr int kMinBlocks;         that share a multiprocessor: what bounds registers
//   static ELBEAM_DEVICE void run(const Args&);
// All shared memory is dynamic: shared_memory(). Blocks are one-dimensional, of whole warps.
#pragma once

#include "kernels/core/element.hpp"

#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#define ELBEAM_DEVICE __device__ __forceinline__
#define ELBEAM_UNROLL _Pragma("unroll")
#define ELBEAM_NO_UNROLL _Pragma("unroll 1")
#else
#include "kernels/emulated/machine.hpp"

#include <cmath>
#define ELBEAM_DEVICE inline
#define ELBEAM_UNROLL
#define ELBEAM_NO_UNROLL
#endif

namespace elbeam::kernels {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffU;

// 16 bytes, the most that one instruction moves.
struct alignas(16) Bits128 {
  std::uint32_t word[4];
};

#if defined(__CUDACC__)

ELBEAM_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
ELBEAM_DEVICE int thread_count() { return static_cast<int>(blockDim.x); }
ELBEAM_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }
ELBEAM_DEVICE int block_y() { return static_cast<int>(blockIdx.y); }
ELBEAM_DEVICE int block_z() { return static_cast<int>(blockIdx.z); }
ELBEAM_DEVICE int grid_y() { return static_cast<int>(gridDim.y); }
ELBEAM_DEVICE unsigned char* shared_memory() {
  extern __shared__ __align__(1024) unsigned char elbeam_shared[];  // for swizzled tiles
  return elbeam_shared;
}
ELBEAM_DEVICE void block_barrier() { __syncthreads(); }
ELBEAM_DEVICE void warp_barrier() { __syncwarp(); }
template <typename V>
ELBEAM_DEVICE V shuffle(V value, int lane) {
  return __shfl_sync(kAllLanes, value, lane);
}
template <typename V>
ELBEAM_DEVICE V shuffle_xor(V value, int bits) {
  return __shfl_xor_sync(kAllLanes, value, bits);
}
template <typename V>
ELBEAM_DEVICE V shuffle_up(V value, int distance) {
  return __shfl_up_sync(kAllLanes, value, static_cast<unsigned>(distance));
}
ELBEAM_DEVICE unsigned ballot(bool vote) { return __ballot_sync(kAllLanes, vote); }
ELBEAM_DEVICE int count_bits(unsigned bits) { return __popc(bits); }
ELBEAM_DEVICE int lowest_bit(unsigned bits) { return __ffs(static_cast<int>(bits)) - 1; }
ELBEAM_DEVICE Bits128 load_128(const void* from) {
  const uint4 v = *static_cast<const uint4*>(from);
  return {{v.x, v.y, v.z, v.w}};
}
ELBEAM_DEVICE void store_128(void* to, const Bits128& bits) {
  *static_cast<uint4*>(to) = make_uint4(bits.word[0], bits.word[1], bits.word[2], bits.word[3]);
}
// 16 bytes from global to shared memory, which arrive by wait_copies(). Before sm_80 they arrive at
// once.
ELBEAM_DEVICE void copy_async(void* to_shared, const void* from) {
#if __CUDA_ARCH__ >= 800
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(to_shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(to), "l"(from) : "memory");
#else
  *static_cast<uint4*>(to_shared) = *static_cast<const uint4*>(from);
#endif
}
ELBEAM_DEVICE void commit_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}
// Waits until at most kPending of this thread's committed groups are still on their way.
template <int kPending>
ELBEAM_DEVICE void wait_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
#endif
}
ELBEAM_DEVICE float negative_infinity() { return __int_as_float(static_cast<int>(0xff800000U)); }

#else

using emulated::ballot;
using emulated::block_barrier;
using emulated::block_x;
using emulated::block_y;
using emulated::block_z;
using emulated::commit_copies;
using emulated::copy_async;
using emulated::grid_y;
using emulated::shared_memory;
using emulated::shuffle;
using emulated::shuffle_up;
using emulated::shuffle_xor;
using emulated::thread_count;
using emulated::thread_index;
using emulated::wait_copies;
using emulated::warp_barrier;

inline int count_bits(unsigned bits) { return __builtin_popcount(bits); }
inline int lowest_bit(unsigned bits) { return __builtin_ctz(bits); }
inline Bits128 load_128(const void* from) {
  emulated::check_aligned(from, 16);
  return *static_cast<const Bits128*>(from);
}
inline void store_128(void* to, const Bits128& bits) {
  emulated::check_aligned(to, 16);
  *static_cast<Bits128*>(to) = bits;
}
inline float negative_infinity() { return -__builtin_inff(); }
using ::erff;
using ::expf;
using ::fmaxf;
using ::log1pf;
using ::logf;
using ::sqrtf;
using ::tanhf;

#endif

ELBEAM_DEVICE int lane_index() { return thread_index() % kWarp; }
ELBEAM_DEVICE int warp_index() { return thread_index() / kWarp; }

// Over the kLanes lanes that share the high bits of their number; every one of them gets the
// result.
template <int kLanes = kWarp>
ELBEAM_DEVICE float lanes_sum(float value) {
  ELBEAM_UNROLL
  for (int bits = kLanes / 2; bits > 0; bits /= 2) value += shuffle_xor(value, bits);
  return value;
}
template <int kLanes = kWarp>
ELBEAM_DEVICE float lanes_max(float value) {
  ELBEAM_UNROLL
  for (int bits = kLanes / 2; bits > 0; bits /= 2) value = fmaxf(value, shuffle_xor(value, bits));
  return value;
}

// The sum over a block; `scratch` holds one float for each warp. Barriers before and after the use
// of `scratch` are inside.
ELBEAM_DEVICE float block_sum(float value, float* scratch) {
  value = lanes_sum(value);
  block_barrier();
  if (lane_index() == 0) scratch[warp_index()] = value;
  block_barrier();
  float total = 0.0F;
  for (int w = 0; w < thread_count() / kWarp; ++w) total += scratch[w];
  return total;
}

// How many T fit into 16 bytes, and these as floats.
template <typename T>
inline constexpr int kVector = 16 / static_cast<int>(sizeof(T));

template <typename T>
ELBEAM_DEVICE void load_vector(const T* from, float (&values)[kVector<T>]) {
  const Bits128 bits = load_128(from);
  ELBEAM_UNROLL
  for (int w = 0; w < 4; ++w) {
    if constexpr (sizeof(T) == 4) {
      values[w] = bits_float(bits.word[w]);
    } else {
      values[2 * w] = to_float(T{static_cast<std::uint16_t>(bits.word[w] & 0xffffU)});
      values[2 * w + 1] = to_float(T{static_cast<std::uint16_t>(bits.word[w] >> 16)});
    }
  }
}

template <typename T>
ELBEAM_DEVICE void store_vector(T* to, const float (&values)[kVector<T>]) {
  Bits128 bits;
  ELBEAM_UNROLL
  for (int w = 0; w < 4; ++w) {
    if constexpr (sizeof(T) == 4) {
      bits.word[w] = float_bits(values[w]);
    } else {
      bits.word[w] = from_float<T>(values[2 * w]).bits |
                     static_cast<std::uint32_t>(from_float<T>(values[2 * w + 1]).bits) << 16;
    }
  }
  store_128(to, bits);
}
ELBEAM_DEVICE bool is_vector_aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
}

}  // namespace elbeam::kernels
