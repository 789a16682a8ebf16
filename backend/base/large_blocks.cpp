#include "base/large_blocks.hpp"

#include "base/checked_math.hpp"

#include <sys/mman.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <type_traits>

namespace elbeam::large_blocks {
namespace {

constexpr std::int64_t kSystemPage = 4096;

void* map(std::int64_t bytes) noexcept {
  void* data =
      mmap(nullptr, usize(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return data == MAP_FAILED ? nullptr : data;
}

// The system may put a block anywhere: more is taken, and what lies around the aligned part is
// given back.
void* map_aligned(std::int64_t bytes) noexcept {
  char* const whole = static_cast<char*>(map(bytes + kHugePage));
  if (whole == nullptr) return nullptr;
  const auto address = reinterpret_cast<std::uintptr_t>(whole);
  const std::int64_t before =
      (kHugePage - static_cast<std::int64_t>(address % kHugePage)) % kHugePage;
  if (before > 0) munmap(whole, usize(before));
  munmap(whole + before + bytes, usize(kHugePage - before));
  // A hint, whose failure costs nothing but speed. Only whole huge pages: what lies behind them
  // would take memory that nobody asked for.
  madvise(whole + before, usize(bytes / kHugePage * kHugePage), MADV_HUGEPAGE);
  return whole + before;
}

class Store {
 public:
  // The smallest kept block of `bytes` or up to half as many more.
  Block find(std::int64_t bytes) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    Block* best = nullptr;
    for (Block* block = blocks_.data(); block != end(); ++block) {
      if (block->bytes < bytes || block->bytes > bytes + bytes / 2) continue;
      if (best == nullptr || block->bytes < best->bytes) best = block;
    }
    return best == nullptr ? Block{} : remove(best);
  }

  // False where there is no room for it.
  bool keep(const Block& block) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (count_ == ssize(blocks_.size()) || bytes_ + block.bytes > kKeptBytes) return false;
    blocks_[usize(count_++)] = block;
    bytes_ += block.bytes;
    return true;
  }

  Block remove_any() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    return count_ == 0 ? Block{} : remove(end() - 1);
  }

  std::int64_t bytes() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    return bytes_;
  }

 private:
  Block* end() noexcept { return blocks_.data() + count_; }
  Block remove(Block* block) noexcept {
    const Block removed = *block;
    *block = *(end() - 1);
    --count_;
    bytes_ -= removed.bytes;
    return removed;
  }

  std::mutex mutex_;
  std::array<Block, kKeptBytes / kSmallest> blocks_{};
  std::int64_t count_ = 0;
  std::int64_t bytes_ = 0;
};

// Nothing is destroyed at the end: other static objects may still give their buffers back.
constinit Store store;
static_assert(std::is_trivially_destructible_v<Store>);

}  // namespace

Block take(std::int64_t bytes) noexcept {
  if (bytes > INT64_MAX - 2 * kHugePage) return {};
  const bool huge = bytes >= kHugePage;
  const std::int64_t rounded = (bytes + kSystemPage - 1) / kSystemPage * kSystemPage;
  if (const Block kept = store.find(rounded); kept.data != nullptr) return kept;
  while (true) {
    void* const data = huge ? map_aligned(rounded) : map(rounded);
    if (data != nullptr) return {data, rounded};
    const Block other = store.remove_any();
    if (other.data == nullptr) return {};
    munmap(other.data, usize(other.bytes));
  }
}

void give(const Block& block) noexcept {
  if (!store.keep(block)) munmap(block.data, usize(block.bytes));
}

std::int64_t kept_bytes() noexcept { return store.bytes(); }

}  // namespace elbeam::large_blocks
