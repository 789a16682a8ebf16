// Products of pairs of bf16 numbers with AVX-512's own instruction for them; see simd.hpp.
#define ELBEAM_ISA_NAMESPACE isa_bfloat16
#define ELBEAM_VECTOR_BYTES 64
#define ELBEAM_BFLOAT16_DOT 1
#define ELBEAM_PANEL_VECTORS 4

#include "kernels/cpu/gemm_body.hpp"

namespace elbeam::kernels::isa_bfloat16 {
namespace {

// The instruction treats denormal numbers as 0; NaN stays NaN.
void round_pairs(const float* x, std::int64_t n, float* pairs) {
  constexpr std::int64_t kLanes = Simd<float>::kLanes;
  auto* out = reinterpret_cast<char*>(pairs);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + i));
    __builtin_memcpy(out + i * 2, &rounded, sizeof rounded);
  }
  if (i == n) return;
  float rest[kLanes] = {};
  for (std::int64_t j = i; j < n; ++j) rest[j - i] = x[j];
  const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(rest));
  __builtin_memcpy(out + i * 2, &rounded, static_cast<std::size_t>((n - i + 1) / 2 * 4));
}

}  // namespace

void fill_table(KernelTable<float>& table);
void fill_table(KernelTable<float>& table) {
  table.multiply_pairs = gemm_stored<float, BFloat16Pair, BFloat16Pair>;
  table.round_pairs = round_pairs;
}

}  // namespace elbeam::kernels::isa_bfloat16
