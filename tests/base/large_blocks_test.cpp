#include "base/large_blocks.hpp"

#include "base/aligned_buffer.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

namespace elbeam {
namespace {

using large_blocks::Block;
using large_blocks::kHugePage;
using large_blocks::kKeptBytes;
using large_blocks::kSmallest;

// What other tests left is taken, and comes back at the end.
class LargeBlocks : public testing::Test {
 protected:
  void SetUp() override {
    for (std::int64_t bytes = kSmallest; bytes <= kKeptBytes; bytes += kSmallest) {
      while (true) {
        const std::int64_t before = large_blocks::kept_bytes();
        const Block block = large_blocks::take(bytes);
        const bool was_kept = large_blocks::kept_bytes() < before;
        others_.push_back(block);
        if (!was_kept) break;
      }
    }
    ASSERT_EQ(large_blocks::kept_bytes(), 0);
  }
  void TearDown() override {
    for (const Block& block : others_) large_blocks::give(block);
  }

 private:
  std::vector<Block> others_;
};

TEST_F(LargeBlocks, AreWritableAndAligned) {
  for (const std::int64_t bytes :
       {kSmallest, kSmallest + 1, kHugePage - 1, kHugePage, 3 * kHugePage + 5, kKeptBytes + 1}) {
    const Block block = large_blocks::take(bytes);
    ASSERT_NE(block.data, nullptr);
    EXPECT_GE(block.bytes, bytes);
    EXPECT_LT(block.bytes, bytes + 4096);
    const std::int64_t alignment = bytes < kHugePage ? 64 : kHugePage;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block.data) % usize(alignment), 0U) << bytes;
    std::memset(block.data, 0x5a, usize(block.bytes));
    large_blocks::give(block);
  }
}

TEST_F(LargeBlocks, OneThatWasGivenBackIsTheNextOneOfItsSize) {
  const Block first = large_blocks::take(4 * kSmallest);
  large_blocks::give(first);
  EXPECT_EQ(large_blocks::kept_bytes(), 4 * kSmallest);
  const Block too_large = large_blocks::take(5 * kSmallest);
  EXPECT_NE(too_large.data, first.data);
  const Block too_small = large_blocks::take(2 * kSmallest);  // would waste half of it
  EXPECT_NE(too_small.data, first.data);
  const Block smaller = large_blocks::take(3 * kSmallest);
  EXPECT_EQ(smaller.data, first.data);
  EXPECT_EQ(smaller.bytes, first.bytes);
  EXPECT_EQ(large_blocks::kept_bytes(), 0);
  for (const Block& block : {too_large, too_small, smaller}) large_blocks::give(block);
}

TEST_F(LargeBlocks, NoMoreThanItsShareIsKept) {
  std::vector<Block> blocks;
  for (std::int64_t i = 0; i < 2 * kKeptBytes / kHugePage; ++i)
    blocks.push_back(large_blocks::take(kHugePage));
  for (const Block& block : blocks) large_blocks::give(block);
  EXPECT_EQ(large_blocks::kept_bytes(), kKeptBytes);
}

TEST_F(LargeBlocks, TheLargestGoBackToTheSystem) {
  large_blocks::give(large_blocks::take(kKeptBytes + 1));
  EXPECT_EQ(large_blocks::kept_bytes(), 0);
}

// What cannot be had is no reason to keep anything: the system may need it.
TEST_F(LargeBlocks, WhatIsKeptIsGivenBackBeforeAllocationFails) {
  large_blocks::give(large_blocks::take(kSmallest));
  ASSERT_GT(large_blocks::kept_bytes(), 0);
  EXPECT_EQ(large_blocks::take(std::int64_t{1} << 55).data, nullptr);
  EXPECT_EQ(large_blocks::kept_bytes(), 0);
  EXPECT_EQ(large_blocks::take(std::numeric_limits<std::int64_t>::max()).data, nullptr);
}

TEST_F(LargeBlocks, ServeThreadsAtTheSameTime) {
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([thread] {
      for (int round = 0; round < 200; ++round) {
        const Block block = large_blocks::take((1 + round % 5) * kSmallest);
        auto* const bytes = static_cast<char*>(block.data);
        bytes[0] = bytes[block.bytes - 1] = static_cast<char>(thread);
        std::this_thread::yield();
        EXPECT_EQ(bytes[0], static_cast<char>(thread));
        EXPECT_EQ(bytes[block.bytes - 1], static_cast<char>(thread));
        large_blocks::give(block);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(LargeBlocks, BuffersOfEverySizeAreTheirOwners) {
  AlignedBuffer<float> buffer(10);
  buffer.reserve(kSmallest);  // floats: a large block
  EXPECT_EQ(buffer.bytes(), 4 * kSmallest);
  buffer.data()[kSmallest - 1] = 1.0F;
  AlignedBuffer<float> other = std::move(buffer);
  EXPECT_EQ(other.data()[kSmallest - 1], 1.0F);
  other = AlignedBuffer<float>();
#if !defined(__SANITIZE_ADDRESS__)
  EXPECT_EQ(large_blocks::kept_bytes(), 4 * kSmallest);
#endif
}

}  // namespace
}  // namespace elbeam
