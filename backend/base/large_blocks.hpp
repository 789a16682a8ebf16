// Memory for large arrays, straight from the system, of which some is kept when it is given back.
//
// A group of sentences takes arrays of some MiB and gives them back when it is done; the next one
// takes as many of about the same size. From the heap they would come and go with a page fault for
// every 4 KiB (6 % of the time of a small model), or stay among the results that live on, where
// they cannot be used again. So blocks are kept for the next taker, kKeptBytes of them in
// all. Thread-safe.
#pragma once

#include <cstdint>

namespace elbeam::large_blocks {

inline constexpr std::int64_t kSmallest = std::int64_t{1} << 20;
inline constexpr std::int64_t kKeptBytes = std::int64_t{16} << 20;
// Blocks of this size and more lie at a multiple of it, and in pages of this size where the system
// has them: with small ones a page fault for every 4 KiB of hundreds of MiB of weights took as long
// as packing them, and reading them missed the TLB in each page.
inline constexpr std::int64_t kHugePage = std::int64_t{2} << 20;

struct Block {
  void* data = nullptr;  // at a multiple of 64 at least
  std::int64_t bytes = 0;
};

// At least `bytes` >= kSmallest of them, with whatever was in them before; no data where the system
// has none, even with all that is kept given back to it.
Block take(std::int64_t bytes) noexcept;
// A block of take(), whole.
void give(const Block& block) noexcept;

std::int64_t kept_bytes() noexcept;

}  // namespace elbeam::large_blocks
