// A weight matrix in the layout that the packed product reads, and the product on a thread pool.
#pragma once

#include "base/checked_math.hpp"
#include "base/shared_array.hpp"
#include "base/thread_pool.hpp"
#include "kernels/kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace elbeam::kernels {

struct MatrixShape {
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
};

// Immutable after construction; shared by threads freely. Copies share the weights.
template <typename T>
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // Packs weight [n, k] with row stride ld (a torch Linear weight: n outputs, k inputs).
  //
  // Storage::kSame keeps the values: in 16 bits where all of them are fp16 numbers (a checkpoint
  // that was saved in half precision), else as they are. kHalf and kBFloat16 round to the nearest;
  // kBFloat16Pairs, which the kernels have to have a product of, too, and each row of a product's
  // input likewise; kInt8 rounds each output's weights to 1/127 of their largest, and each row of a
  // product's input likewise. Doubles are always kept.
  PackedMatrix(const T* weight, std::int64_t ld, std::int64_t n, std::int64_t k,
               Storage storage = Storage::kSame);

  // What was packed before: `image` is the image() of a matrix of this shape and storage, at a
  // multiple of kImageAlignment, and stays as it is. An empty image gives a matrix that has a shape
  // and cannot multiply.
  PackedMatrix(MatrixShape shape, Storage storage, SharedArray<std::byte> image);
  static constexpr std::size_t kImageAlignment = 64;
  static std::int64_t image_bytes(MatrixShape shape, Storage storage);
  // All that a product reads of the matrix; its layout depends on the instruction set.
  std::span<const std::byte> image() const noexcept { return image_.values; }

  std::int64_t outputs() const noexcept { return n_; }
  std::int64_t inputs() const noexcept { return k_; }
  std::int64_t bytes() const noexcept { return ssize(image_.values.size()); }
  Storage storage() const noexcept { return storage_; }

  // The matrix of these outputs, in this order; each is in [0, outputs()).
  PackedMatrix select(std::span<const std::int64_t> outputs) const;

  // What a product adds to a packed weight: bias [n] or nullptr, activation, residual.
  struct Epilogue {
    const T* bias = nullptr;
    Activation activation = Activation::kNone;
    const T* residual = nullptr;  // row stride as c's
  };
  struct Operand {
    const T* data;
    std::int64_t ld;
  };
  struct Result {
    T* data;
    std::int64_t ld;
  };

  // c [m, n] = activation(a [m, k] W^T + bias) + residual; columns are shared out to the pool.
  void multiply(Operand a, std::int64_t m, Result c, const Epilogue& epilogue,
                ThreadPool& pool) const;
  // The same on the calling thread.
  void multiply(Operand a, std::int64_t m, Result c, const Epilogue& epilogue) const;

 private:
  PackedGemm<T> describe(Operand a, std::int64_t m, Result c, const Epilogue& epilogue) const;
  std::int64_t panels() const;
  std::int64_t columns() const { return panels() * kernels<T>().panel_width; }
  std::int64_t padded_depth() const { return (k_ + 3) / 4 * 4; }  // of 8-bit weights
  std::int64_t pairs() const { return (k_ + 1) / 2; }             // of kBFloat16Pairs
  void pack_as_given(const T* weight, std::int64_t ld, std::byte* out) const;
  void pack_16_bits(const T* weight, std::int64_t ld, std::byte* out) const;
  void pack_pairs(const T* weight, std::int64_t ld, std::byte* out) const;
  void pack_8_bits(const T* weight, std::int64_t ld, std::byte* out) const;
  // kInt8: behind the weights, for the columns of all panels.
  const float* column_scales() const;
  const std::int32_t* column_sums() const;  // as Int8Gemm::b_sum
  // Calls part(first panel, last panel) for all panels, on the pool if there is one.
  template <typename Part>
  void share_out(std::int64_t m, ThreadPool* pool, Part&& part) const;
  void run(const PackedGemm<T>& gemm, ThreadPool* pool) const;
  void run_pairs(PackedGemm<float> gemm, ThreadPool* pool) const;
  void run_int8(const PackedGemm<float>& gemm, ThreadPool* pool) const;

  std::int64_t n_ = 0;
  std::int64_t k_ = 0;
  Storage storage_ = Storage::kSame;
  SharedArray<std::byte> image_;
};

}  // namespace elbeam::kernels
