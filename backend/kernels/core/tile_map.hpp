// Tiles of matrices in global memory, as sm_90's bulk copies take them.
#pragma once

#include <cstdint>

namespace elbeam::kernels {

// A box is so many columns of 16-bit numbers: 128 bytes, whose 16-byte parts lie swizzled in shared
// memory.
inline constexpr int kBoxColumns = 64;
inline constexpr int kBoxRowBytes = 128;

// Rows of 16-bit numbers, and the height of the boxes that are copied from them: what a device's
// launcher makes a TileMap of.
struct TileMapSource {
  const void* first = nullptr;  // 16-byte aligned
  std::int64_t columns = 0;
  std::int64_t rows = 0;
  std::int64_t stride_bytes = 0;  // whole multiples of 16
  std::int32_t box_rows = 1;
};

// The device's own form of it: CUtensorMap of CUDA.
struct alignas(128) TileMap {
  std::uint64_t words[16];
};

}  // namespace elbeam::kernels
