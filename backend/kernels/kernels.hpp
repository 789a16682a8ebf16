// The arithmetic of decoding on a CPU, written once and compiled for several instruction sets.
//
// kernels<T>() gives the table of functions for the best instruction set that this processor has
// (environment variable ELBEAM_ISA=generic|avx2|avx512 forces one). All functions are pure: no
// allocation, no exceptions, no global state; thread-safe on disjoint outputs. Matrices are
// row-major; ld* are row strides in elements. T is float or double.
#pragma once

#include <cstdint>

namespace elbeam::kernels {

enum class Isa { kGeneric, kAvx2, kAvx512 };

const char* isa_name(Isa isa) noexcept;
bool isa_supported(Isa isa) noexcept;
// Throws Error(kUsage) when ELBEAM_ISA names an instruction set that does not exist or that this
// processor lacks.
Isa active_isa();

enum class Activation { kNone, kRelu, kGelu, kGeluAccurate, kTanh, kSwish };

// How packed weights lie in memory. kHalf (fp16) and kBFloat16 are widened to float when they are
// used; only float products know them. kBFloat16Pairs and kInt8 have products of their own,
// multiply_pairs and multiply_int8, which round the rows they multiply with as well.
enum class Storage { kSame, kHalf, kBFloat16, kBFloat16Pairs, kInt8 };

// Numbers of a row that have an upper bound in common.
inline constexpr std::int64_t kBoundWidth = 64;

// C = activation(A B^T + bias) + residual, with B [n, k] packed by pack_panels.
template <typename T>
struct PackedGemm {
  std::int64_t m = 0, n = 0, k = 0;
  const T* a = nullptr;  // [m, k]
  std::int64_t lda = 0;
  const void* packed = nullptr;  // T, or 16 bits each
  Storage storage = Storage::kSame;
  const T* bias = nullptr;  // [n] or nullptr
  Activation activation = Activation::kNone;
  const T* residual = nullptr;  // [m, n] with row stride ldc, or nullptr; may be c itself
  T* c = nullptr;               // [m, n]
  std::int64_t ldc = 0;
};

// C = A B (B is [k, n]) or C = A B^T (B is [n, k]).
template <typename T>
struct Gemm {
  std::int64_t m = 0, n = 0, k = 0;
  const T* a = nullptr;
  std::int64_t lda = 0;
  const T* b = nullptr;
  std::int64_t ldb = 0;
  T* c = nullptr;
  std::int64_t ldc = 0;
};

// One row's attention over keys that lie anywhere: head i compares query[i * width ..] with
// keys[t][key_offset + i * head_stride ..]. Multi-head attention has width = head_stride = d_k;
// EL-attention has width = d and head_stride = 0, since all heads share the hidden state.
template <typename T>
struct HeadAttention {
  std::int64_t heads = 0, width = 0, head_stride = 0, length = 0;
  const T* query = nullptr;          // [heads, width]
  const T* const* keys = nullptr;    // [length] pointers, to each of which key_offset is added
  const T* const* values = nullptr;  // [length] pointers, to each of which value_offset is added
  std::int64_t key_offset = 0, value_offset = 0;
  T* scores = nullptr;   // [heads, length] scratch
  T* context = nullptr;  // [heads, width]
};

// The same of 8-bit integers: A's numbers are (a - 128) * a_scale[row], B's b * b_scale[column],
// and the sums are exact, so all instruction sets give the same result. B is packed by
// pack_panels_int8.
struct Int8Gemm {
  PackedGemm<float> out;            // m, n, bias, activation, residual, c
  std::int64_t k = 0;               // a multiple of 4; behind the real depth b is 0
  const std::uint8_t* a = nullptr;  // [m, k] as quantize_row wrote them
  const float* a_scale = nullptr;   // [m]
  const std::int8_t* packed = nullptr;
  const float* b_scale = nullptr;       // [n] and as many as the last panel has columns
  const std::int32_t* b_sum = nullptr;  // the same: 128 times the sum of b's column
};

template <typename T>
struct KernelTable {
  Isa isa;
  std::int64_t lanes;        // elements of one vector
  std::int64_t panel_width;  // columns of one packed panel

  // Packs B [n, k] (row stride ldb) into ceil(n / panel_width) panels of [k][panel_width],
  // zero-filled.
  void (*pack_panels)(const T* b, std::int64_t ldb, std::int64_t n, std::int64_t k, T* packed);
  // Computes the columns of panels [begin, end).
  void (*gemm_packed)(const PackedGemm<T>& gemm, std::int64_t begin, std::int64_t end);
  // float only, and nullptr where the processor cannot multiply pairs of bf16 numbers
  // (AVX512_BF16). As gemm_packed, but each number of A and of B is the bits of two bf16 numbers
  // that follow each other in depth, so that k counts pairs; products are exact and summed in
  // float.
  void (*multiply_pairs)(const PackedGemm<T>& gemm, std::int64_t begin, std::int64_t end);
  // x [n], rounded to the nearest, as such pairs; an odd last one is paired with 0.
  void (*round_pairs)(const float* x, std::int64_t n, float* pairs);
  // float only; nullptr for double.
  void (*multiply_int8)(const Int8Gemm& gemm, std::int64_t begin, std::int64_t end);
  // One row of A: its scale and, int8_bytes each, its numbers of x [n] with 128 added, in the order
  // that multiply_int8 reads; those behind it up to a multiple of 4 count nothing.
  void (*quantize_row)(const float* x, std::int64_t n, std::uint8_t* a, float* scale);
  std::int64_t int8_bytes;
  // One row x [k] of B: its bytes, of which `panel` is the first, its scale (NaN where a number is
  // not finite) and its b_sum. Bytes and sum are 0 before.
  void (*pack_int8_row)(const float* x, std::int64_t k, std::int8_t* panel, float* scale,
                        std::int32_t* sum);
  void (*gemm_nn)(const Gemm<T>& gemm);
  void (*gemm_nt)(const Gemm<T>& gemm);
  // y = LayerNorm(x) * gain + bias for one row; eps as torch: 1 / sqrt(var + eps). y may be x.
  void (*layer_norm)(const T* x, const T* gain, const T* bias, std::int64_t n, T* y);
  // In place over one row: exp(x - max) / sum. A row of -inf becomes NaN, as in torch.
  void (*softmax)(T* x, std::int64_t n);
  // out[i] = (x[i] / temperature) - max - log(sum(exp)), written as float32. x is overwritten.
  // Where bounds is no nullptr, the largest of each kBoundWidth numbers of out (the last of fewer)
  // is written there; NaN to all where the row has no such sum.
  void (*log_softmax)(T* x, std::int64_t n, T temperature, float* out, float* bounds);
  void (*attend)(const HeadAttention<T>& attention);
};

template <typename T>
const KernelTable<T>& kernels();
// The table of a given instruction set; the caller has checked isa_supported().
template <typename T>
const KernelTable<T>& kernels_of(Isa isa);

}  // namespace elbeam::kernels
