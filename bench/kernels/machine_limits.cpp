#include "bench/kernels/machine_limits.hpp"

#include "base/aligned_buffer.hpp"
#include "kernels/kernels.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace elbeam::bench {
namespace {

constexpr std::int64_t kRounds = 2'000'000;
constexpr std::int64_t kReadBytes = 256 * 1024 * 1024;

// Chains of dependent multiply-adds, enough of them to cover the latency, and nothing else.
// Floating- point sums may not be reordered, so no compiler shortens them.
template <typename T, int kBytes>
struct Chains {
  typedef T Vector __attribute__((vector_size(kBytes)));
  static constexpr int kCount = 12;

  __attribute__((always_inline)) static inline double run() {
    Vector acc[kCount] = {};
    for (int c = 0; c < kCount; ++c) acc[c] += static_cast<T>(c);  // or they would be one chain
    const Vector factor = Vector{} + static_cast<T>(0.999);
    for (std::int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
      for (int c = 0; c < kCount; ++c) acc[c] = acc[c] * factor + factor;
    }
    Vector sum{};
    for (int c = 0; c < kCount; ++c) sum += acc[c];
    volatile T sink = sum[0];
    static_cast<void>(sink);
    return 2.0 * kCount * (kBytes / 4) * static_cast<double>(kRounds);
  }
};

template <typename T, int kBytes>
__attribute__((always_inline)) inline void read_all(const T* data, std::int64_t count) {
  typedef T Vector __attribute__((vector_size(kBytes), aligned(4), may_alias));
  constexpr std::int64_t kLanes = kBytes / 4;
  Vector sum[8] = {};
  for (std::int64_t i = 0; i + 8 * kLanes <= count; i += 8 * kLanes) {
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) sum[j] += *reinterpret_cast<const Vector*>(data + i + j * kLanes);
  }
  Vector all{};
  for (const Vector& part : sum) all += part;
  volatile T sink = all[0];
  static_cast<void>(sink);
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) double flops_avx512() { return Chains<float, 64>::run(); }
__attribute__((target("avx2,fma"))) double flops_avx2() { return Chains<float, 32>::run(); }
__attribute__((target("avx512f"))) void read_avx512(const float* p, std::int64_t n) {
  read_all<float, 64>(p, n);
}
__attribute__((target("avx2,fma"))) void read_avx2(const float* p, std::int64_t n) {
  read_all<float, 32>(p, n);
}
#endif

double do_flops(kernels::Isa isa) {
#if defined(__x86_64__)
  if (isa == kernels::Isa::kAvx512) return flops_avx512();
  if (isa == kernels::Isa::kAvx2) return flops_avx2();
#endif
  static_cast<void>(isa);
  return Chains<float, 16>::run();
}

void do_read(kernels::Isa isa, const float* data, std::int64_t count) {
#if defined(__x86_64__)
  if (isa == kernels::Isa::kAvx512) return read_avx512(data, count);
  if (isa == kernels::Isa::kAvx2) return read_avx2(data, count);
#endif
  static_cast<void>(isa);
  read_all<float, 16>(data, count);
}

template <typename Work>
double best_seconds(int rounds, Work&& work) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return best;
}

}  // namespace

MachineLimits measure_limits(ThreadPool& pool) {
  const kernels::Isa isa = kernels::active_isa();
  const std::int64_t threads = pool.threads();
  MachineLimits limits;
  const double flops = 2.0 * Chains<float, 16>::kCount * static_cast<double>(kRounds) *
                       static_cast<double>(kernels::kernels<float>().lanes);
  limits.flops = flops * static_cast<double>(threads) / best_seconds(5, [&] {
                   pool.parallel_for(threads, [&](std::int64_t) { do_flops(isa); });
                 });
  const std::int64_t count = kReadBytes / 4;
  AlignedBuffer<float> data(count);
  std::fill_n(data.data(), count, 1.0F);
  limits.bytes_per_second = static_cast<double>(kReadBytes) / best_seconds(5, [&] {
                              pool.parallel_for(threads, [&](std::int64_t i) {
                                do_read(isa, data.data() + count / threads * i, count / threads);
                              });
                            });
  return limits;
}

}  // namespace elbeam::bench
