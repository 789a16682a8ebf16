// Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): random
// numbers that are found by their place, not in an order. Runs on devices too.
#pragma once

#include <cstdint>

namespace elbeam {

struct PhiloxWords {
  std::uint32_t word[4];
};

// 128 random bits for each of 2^128 counters, another sequence for each key.
constexpr PhiloxWords philox(std::uint64_t key, PhiloxWords counter) {
  auto low = static_cast<std::uint32_t>(key);
  auto high = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53U} * counter.word[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57U} * counter.word[2];
    counter = {{static_cast<std::uint32_t>(b >> 32) ^ counter.word[1] ^ low,
                static_cast<std::uint32_t>(b),
                static_cast<std::uint32_t>(a >> 32) ^ counter.word[3] ^ high,
                static_cast<std::uint32_t>(a)}};
    low += 0x9E3779B9U;
    high += 0xBB67AE85U;
  }
  return counter;
}

// A number from (0, 1], evenly spread, that is fine near 0.
constexpr float unit_interval(std::uint32_t word) {
  return (static_cast<float>(word) + 0.5F) * 0x1p-32F;
}

}  // namespace elbeam
