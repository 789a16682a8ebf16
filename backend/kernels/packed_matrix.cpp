#include "kernels/packed_matrix.hpp"

#include "base/aligned_buffer.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "kernels/core/element.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace elbeam::kernels {
namespace {

// Below this many multiply-adds a product is done before a second thread would have begun.
constexpr std::int64_t kMinTaskWork = 64 * 1024;
// 8-bit products of deeper matrices could overflow their 32-bit sums (255 * 127 * 65536 < 2^31).
constexpr std::int64_t kMaxInt8Depth = 65536;

constexpr std::int64_t kPairBytes = 4;  // of kBFloat16Pairs
// kInt8: a scale and a sum.
constexpr std::int64_t kColumnFactsBytes = sizeof(float) + sizeof(std::int32_t);

// Where to write an image of so many bytes.
std::byte* make_image(std::int64_t bytes, SharedArray<std::byte>& image) {
  const auto buffer = std::make_shared<AlignedBuffer<std::byte>>(bytes);
  image = {{buffer->data(), usize(bytes)}, buffer};
  return buffer->data();
}

bool is_half(float value) { return to_float(from_float<Half>(value)) == value; }

template <typename T>
bool all_half(const T* weight, std::int64_t ld, std::int64_t n, std::int64_t k) {
  for (std::int64_t row = 0; row < n; ++row) {
    const T* line = weight + row * ld;
    const bool fits =
        std::all_of(line, line + k, [](T value) { return is_half(static_cast<float>(value)); });
    if (!fits) return false;
  }
  return true;
}

}  // namespace

template <typename T>
PackedMatrix<T>::PackedMatrix(const T* weight, std::int64_t ld, std::int64_t n, std::int64_t k,
                              Storage storage)
    : n_(n), k_(k), storage_(storage) {
  if (std::is_same_v<T, double>) storage_ = Storage::kSame;
  if (storage_ == Storage::kInt8 && k > kMaxInt8Depth) storage_ = Storage::kHalf;
  if (std::is_same_v<T, float> && storage_ == Storage::kSame && all_half(weight, ld, n, k))
    storage_ = Storage::kHalf;
  ELBEAM_INVARIANT(storage_ != Storage::kBFloat16Pairs || kernels<T>().multiply_pairs != nullptr);
  std::byte* const out = make_image(image_bytes({n_, k_}, storage_), image_);
  if (storage_ == Storage::kInt8) {
    pack_8_bits(weight, ld, out);
  } else if (storage_ == Storage::kBFloat16Pairs) {
    pack_pairs(weight, ld, out);
  } else if (storage_ != Storage::kSame) {
    pack_16_bits(weight, ld, out);
  } else {
    pack_as_given(weight, ld, out);
  }
}

template <typename T>
PackedMatrix<T>::PackedMatrix(MatrixShape shape, Storage storage, SharedArray<std::byte> image)
    : n_(shape.outputs), k_(shape.inputs), storage_(storage), image_(std::move(image)) {
  ELBEAM_INVARIANT(image_.values.empty() ||
                   ssize(image_.values.size()) == image_bytes(shape, storage));
  ELBEAM_INVARIANT(reinterpret_cast<std::uintptr_t>(image_.values.data()) % kImageAlignment == 0);
}

template <typename T>
std::int64_t PackedMatrix<T>::image_bytes(MatrixShape shape, Storage storage) {
  const std::int64_t width = kernels<T>().panel_width;
  const std::int64_t columns = checked_mul(checked_add(shape.outputs, width - 1) / width, width);
  if (storage == Storage::kInt8) {
    const std::int64_t depth = checked_add(shape.inputs, std::int64_t{3}) / 4 * 4;
    return checked_mul(columns, checked_add(depth, kColumnFactsBytes));
  }
  if (storage == Storage::kBFloat16Pairs)
    return checked_mul(columns, checked_add(shape.inputs, std::int64_t{1}) / 2 * kPairBytes);
  const std::int64_t unit = storage == Storage::kSame ? ssize(sizeof(T)) : 2;
  return checked_mul(checked_mul(columns, shape.inputs), unit);
}

template <typename T>
void PackedMatrix<T>::pack_as_given(const T* weight, std::int64_t ld, std::byte* out) const {
  kernels<T>().pack_panels(weight, ld, n_, k_, reinterpret_cast<T*>(out));
}

template <typename T>
void PackedMatrix<T>::pack_16_bits(const T* weight, std::int64_t ld, std::byte* out) const {
  const KernelTable<T>& table = kernels<T>();
  const std::int64_t width = table.panel_width;
  auto* next = reinterpret_cast<std::uint16_t*>(out);
  std::vector<T> panel(usize(checked_mul(width, k_)));
  for (std::int64_t first = 0; first < n_; first += width) {
    table.pack_panels(weight + first * ld, ld, std::min(width, n_ - first), k_, panel.data());
    for (const T value : panel) {
      const auto number = static_cast<float>(value);
      *next++ = storage_ == Storage::kHalf ? from_float<Half>(number).bits
                                           : from_float<BFloat16>(number).bits;
    }
  }
}

// Panels of [k / 2][columns] pairs.
template <typename T>
void PackedMatrix<T>::pack_pairs(const T* weight, std::int64_t ld, std::byte* out) const {
  const KernelTable<T>& table = kernels<T>();
  const std::int64_t width = table.panel_width;
  std::fill_n(out, image_.values.size(), std::byte{0});
  if constexpr (std::is_same_v<T, float>) {
    std::vector<float> line(usize(pairs()));
    for (std::int64_t column = 0; column < n_; ++column) {
      table.round_pairs(weight + column * ld, k_, line.data());
      std::byte* to = out + (column / width * width * pairs() + column % width) * kPairBytes;
      for (const float& pair : line) {
        std::memcpy(to, &pair, kPairBytes);
        to += width * kPairBytes;
      }
    }
  }
}

// Panels of [k / 4][columns][4] bytes.
template <typename T>
void PackedMatrix<T>::pack_8_bits(const T* weight, std::int64_t ld, std::byte* out) const {
  const std::int64_t width = kernels<T>().panel_width;
  const std::int64_t depth = padded_depth();
  std::fill_n(out, image_.values.size(), std::byte{0});
  auto* const weights = reinterpret_cast<std::int8_t*>(out);
  auto* const scales = reinterpret_cast<float*>(out + columns() * depth);
  auto* const sums = reinterpret_cast<std::int32_t*>(scales + columns());
  if constexpr (std::is_same_v<T, float>) {
    for (std::int64_t column = 0; column < n_; ++column) {
      kernels<T>().pack_int8_row(weight + column * ld, k_,
                                 weights + column / width * width * depth + column % width * 4,
                                 scales + column, sums + column);
    }
  }
}

// A panel is [depth][width] units: one number each, a pair, or four of 8 bits.
template <typename T>
PackedMatrix<T> PackedMatrix<T>::select(std::span<const std::int64_t> outputs) const {
  PackedMatrix chosen;
  chosen.n_ = ssize(outputs.size());
  chosen.k_ = k_;
  chosen.storage_ = storage_;
  const bool is_int8 = storage_ == Storage::kInt8;
  const bool is_pairs = storage_ == Storage::kBFloat16Pairs;
  const auto unit = usize(is_int8 || is_pairs          ? 4
                          : storage_ == Storage::kSame ? ssize(sizeof(T))
                                                       : 2);
  const auto depth = usize(is_int8 ? padded_depth() / 4 : is_pairs ? pairs() : k_);
  const auto width = usize(kernels<T>().panel_width);
  const std::int64_t bytes = image_bytes({chosen.n_, k_}, storage_);
  std::byte* const image = make_image(bytes, chosen.image_);
  std::fill_n(image, bytes, std::byte{0});
  for (std::size_t to = 0; to < outputs.size(); ++to) {
    const std::size_t from = usize(outputs[to]);
    const std::byte* source =
        image_.values.data() + (from / width * depth * width + from % width) * unit;
    std::byte* out = image + (to / width * depth * width + to % width) * unit;
    for (std::size_t i = 0; i < depth; ++i)
      std::memcpy(out + i * width * unit, source + i * width * unit, unit);
    if (!is_int8) continue;
    auto* const scales = reinterpret_cast<float*>(image + usize(chosen.columns()) * depth * unit);
    scales[to] = column_scales()[from];
    reinterpret_cast<std::int32_t*>(scales + chosen.columns())[to] = column_sums()[from];
  }
  return chosen;
}

template <typename T>
const float* PackedMatrix<T>::column_scales() const {
  return reinterpret_cast<const float*>(image_.values.data() + columns() * padded_depth());
}

template <typename T>
const std::int32_t* PackedMatrix<T>::column_sums() const {
  return reinterpret_cast<const std::int32_t*>(column_scales() + columns());
}

template <typename T>
std::int64_t PackedMatrix<T>::panels() const {
  const std::int64_t width = kernels<T>().panel_width;
  return (n_ + width - 1) / width;
}

template <typename T>
PackedGemm<T> PackedMatrix<T>::describe(Operand a, std::int64_t m, Result c,
                                        const Epilogue& epilogue) const {
  PackedGemm<T> gemm;
  gemm.m = m;
  gemm.n = n_;
  gemm.k = k_;
  gemm.a = a.data;
  gemm.lda = a.ld;
  gemm.packed = image_.values.data();
  gemm.storage = storage_;
  gemm.bias = epilogue.bias;
  gemm.activation = epilogue.activation;
  gemm.residual = epilogue.residual;
  gemm.c = c.data;
  gemm.ldc = c.ld;
  return gemm;
}

template <typename T>
void PackedMatrix<T>::multiply(Operand a, std::int64_t m, Result c,
                               const Epilogue& epilogue) const {
  run(describe(a, m, c, epilogue), nullptr);
}

template <typename T>
void PackedMatrix<T>::multiply(Operand a, std::int64_t m, Result c, const Epilogue& epilogue,
                               ThreadPool& pool) const {
  run(describe(a, m, c, epilogue), &pool);
}

template <typename T>
template <typename Part>
void PackedMatrix<T>::share_out(std::int64_t m, ThreadPool* pool, Part&& part) const {
  const std::int64_t count = panels();
  const std::int64_t work = m * n_ * k_;
  // A few tasks a thread even out panels that take unequal time on a busy machine.
  const std::int64_t tasks =
      pool == nullptr
          ? 1
          : std::max<std::int64_t>(
                1, std::min({count, work / kMinTaskWork, std::int64_t{4} * pool->threads()}));
  if (tasks == 1 || pool->threads() == 1) return part(0, count);
  pool->parallel_for(
      tasks, [&](std::int64_t task) { part(count * task / tasks, count * (task + 1) / tasks); });
}

template <typename T>
void PackedMatrix<T>::run(const PackedGemm<T>& gemm, ThreadPool* pool) const {
  if constexpr (std::is_same_v<T, float>) {
    if (storage_ == Storage::kBFloat16Pairs) return run_pairs(gemm, pool);
    if (storage_ == Storage::kInt8) return run_int8(gemm, pool);
  }
  share_out(gemm.m, pool, [&](std::int64_t begin, std::int64_t end) {
    kernels<T>().gemm_packed(gemm, begin, end);
  });
}

template <typename T>
void PackedMatrix<T>::run_pairs(PackedGemm<float> gemm, ThreadPool* pool) const {
  const KernelTable<float>& table = kernels<float>();
  // Reused by all products of this thread: a step allocates nothing.
  thread_local AlignedBuffer<float> rows;
  rows.reserve(checked_mul(gemm.m, pairs()));
  for (std::int64_t row = 0; row < gemm.m; ++row)
    table.round_pairs(gemm.a + row * gemm.lda, k_, rows.data() + row * pairs());
  gemm.a = rows.data();
  gemm.lda = gemm.k = pairs();
  share_out(gemm.m, pool,
            [&](std::int64_t begin, std::int64_t end) { table.multiply_pairs(gemm, begin, end); });
}

template <typename T>
void PackedMatrix<T>::run_int8(const PackedGemm<float>& gemm, ThreadPool* pool) const {
  const KernelTable<float>& table = kernels<float>();
  thread_local AlignedBuffer<std::uint8_t> rows;  // reused, as above
  thread_local AlignedBuffer<float> scales;
  Int8Gemm quantized;
  quantized.out = gemm;
  quantized.k = padded_depth();
  const std::int64_t row_bytes = quantized.k * table.int8_bytes;
  rows.reserve(checked_mul(gemm.m, row_bytes));
  scales.reserve(gemm.m);
  for (std::int64_t row = 0; row < gemm.m; ++row) {
    table.quantize_row(gemm.a + row * gemm.lda, k_, rows.data() + row * row_bytes,
                       scales.data() + row);
  }
  quantized.a = rows.data();
  quantized.a_scale = scales.data();
  quantized.packed = reinterpret_cast<const std::int8_t*>(image_.values.data());
  quantized.b_scale = column_scales();
  quantized.b_sum = column_sums();
  share_out(gemm.m, pool, [&](std::int64_t begin, std::int64_t end) {
    table.multiply_int8(quantized, begin, end);
  });
}

template class PackedMatrix<float>;
template class PackedMatrix<double>;

}  // namespace elbeam::kernels
