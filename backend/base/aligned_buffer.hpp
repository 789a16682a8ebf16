// A 64-byte aligned, uninitialised array for numbers: what the kernels read and write.
#pragma once

#include "base/checked_math.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <type_traits>

namespace elbeam {

// Move-only owner. Throws Error(kOutOfMemory) when the memory cannot be had. Not thread-safe.
template <typename T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::int64_t count) { reserve(count); }

  // Makes room for `count` elements; what was in the buffer is lost when it has to grow.
  void reserve(std::int64_t count) {
    if (count <= capacity_) return;
    const std::int64_t bytes = checked_mul(count, static_cast<std::int64_t>(sizeof(T)));
    const std::int64_t alignment = bytes < kHugePage ? 64 : kHugePage;
    const std::int64_t rounded = checked_add(bytes, alignment - 1) / alignment * alignment;
    data_.reset();  // first, so that the peak is one buffer and not two
    capacity_ = 0;
    data_.reset(static_cast<T*>(std::aligned_alloc(usize(alignment), usize(rounded))));
    ELBEAM_CHECK(data_ != nullptr, ErrorCode::kOutOfMemory, "cannot allocate ", bytes, " bytes");
    // A hint, whose failure costs nothing but speed. Only whole huge pages: what lies behind them
    // would take memory that nobody asked for.
    if (alignment == kHugePage)
      madvise(data_.get(), usize(bytes / kHugePage * kHugePage), MADV_HUGEPAGE);
    capacity_ = count;
  }

  T* data() noexcept { return data_.get(); }
  const T* data() const noexcept { return data_.get(); }
  std::int64_t capacity() const noexcept { return capacity_; }
  std::int64_t bytes() const noexcept { return capacity_ * static_cast<std::int64_t>(sizeof(T)); }

 private:
  // Weights of hundreds of MiB: a page fault for every 4 KiB took as long as packing them, and
  // reading them missed the TLB in each page.
  static constexpr std::int64_t kHugePage = std::int64_t{2} << 20;

  struct Free {
    void operator()(T* pointer) const noexcept { std::free(pointer); }
  };
  std::unique_ptr<T, Free> data_;
  std::int64_t capacity_ = 0;
};

}  // namespace elbeam
