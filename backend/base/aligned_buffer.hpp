// A 64-byte aligned, uninitialised array for numbers: what the kernels read and write.
#pragma once

#include "base/checked_math.hpp"
#include "base/large_blocks.hpp"

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
    data_.reset();  // first, so that the peak is one buffer and not two
    capacity_ = 0;
    data_ = allocate(bytes);
    ELBEAM_CHECK(data_ != nullptr, ErrorCode::kOutOfMemory, "cannot allocate ", bytes, " bytes");
    capacity_ = count;
  }

  T* data() noexcept { return data_.get(); }
  const T* data() const noexcept { return data_.get(); }
  std::int64_t capacity() const noexcept { return capacity_; }
  std::int64_t bytes() const noexcept { return capacity_ * static_cast<std::int64_t>(sizeof(T)); }

 private:
  struct Free {
    std::int64_t block_bytes = 0;  // 0: not a large block
    void operator()(T* pointer) const noexcept {
      if (block_bytes == 0) return std::free(pointer);
      large_blocks::give({pointer, block_bytes});
    }
  };
  using Owner = std::unique_ptr<T, Free>;

  static Owner allocate(std::int64_t bytes) {
    if (bytes >= kLarge) {
      const large_blocks::Block block = large_blocks::take(bytes);
      return Owner(static_cast<T*>(block.data), Free{block.bytes});
    }
    const std::int64_t rounded = checked_add(bytes, std::int64_t{63}) / 64 * 64;
    return Owner(static_cast<T*>(std::aligned_alloc(64, usize(rounded))));
  }

  // AddressSanitizer guards the ends of the heap's blocks only.
#if defined(__SANITIZE_ADDRESS__)
  static constexpr std::int64_t kLarge = INT64_MAX;
#else
  static constexpr std::int64_t kLarge = large_blocks::kSmallest;
#endif

  Owner data_;
  std::int64_t capacity_ = 0;
};

}  // namespace elbeam
