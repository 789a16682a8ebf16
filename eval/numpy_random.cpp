#include "eval/numpy_random.hpp"

#include <bit>
#include <limits>

namespace elbeam::eval {
namespace {

constexpr int kPoolSize = 4;

// SeedSequence: spreads the bits of a seed over a pool, and makes any number of words of it.
class SeedSequence {
 public:
  explicit SeedSequence(std::uint64_t seed) {
    const std::array<std::uint32_t, kPoolSize> entropy = {static_cast<std::uint32_t>(seed),
                                                          static_cast<std::uint32_t>(seed >> 32)};
    std::uint32_t factor = 0x43b0d7e5;
    const auto hash = [&factor](std::uint32_t value) {
      value ^= factor;
      factor *= 0x931e8875;
      value *= factor;
      return value ^ (value >> 16);
    };
    for (std::size_t i = 0; i < kPoolSize; ++i) pool_[i] = hash(entropy[i]);
    for (std::size_t from = 0; from < kPoolSize; ++from) {
      for (std::size_t to = 0; to < kPoolSize; ++to) {
        if (from == to) continue;
        const std::uint32_t mixed = 0xca01f9dd * pool_[to] - 0x4973f715 * hash(pool_[from]);
        pool_[to] = mixed ^ (mixed >> 16);
      }
    }
  }

  std::uint64_t next() noexcept {
    const std::uint64_t low = word();
    return std::uint64_t{word()} << 32 | low;
  }

 private:
  std::uint32_t word() noexcept {
    std::uint32_t value = pool_[count_++ % kPoolSize] ^ factor_;
    factor_ *= 0x58f38ded;
    value *= factor_;
    return value ^ (value >> 16);
  }

  std::array<std::uint32_t, kPoolSize> pool_{};
  std::uint32_t factor_ = 0x8b51f9dd;
  std::size_t count_ = 0;
};

}  // namespace

NumpyRandom::NumpyRandom(std::uint64_t seed) {
  SeedSequence words(seed);
  const auto next128 = [&words] {
    const Uint128 high = words.next();
    return high << 64 | words.next();
  };
  const Uint128 start = next128();
  increment_ = next128() << 1 | 1;
  next64();
  state_ += start;
  next64();
}

std::uint64_t NumpyRandom::next64() noexcept {
  constexpr Uint128 kMultiplier = Uint128{0x2360ed051fc65da4ULL} << 64 | 0x4385df649fccf645ULL;
  state_ = state_ * kMultiplier + increment_;
  const auto high = static_cast<std::uint64_t>(state_ >> 64);
  return std::rotr(high ^ static_cast<std::uint64_t>(state_), static_cast<int>(high >> 58));
}

std::uint32_t NumpyRandom::next32() noexcept {
  if (has_high_half_) {
    has_high_half_ = false;
    return high_half_;
  }
  const std::uint64_t bits = next64();
  high_half_ = static_cast<std::uint32_t>(bits >> 32);
  has_high_half_ = true;
  return static_cast<std::uint32_t>(bits);
}

std::uint32_t NumpyRandom::below(std::uint32_t end) noexcept {
  if (end == 1) return 0;  // numpy draws nothing
  // Lemire's method: the high half of a product, some of whose low halves are refused.
  std::uint64_t product = std::uint64_t{next32()} * end;
  if (static_cast<std::uint32_t>(product) < end) {
    const std::uint32_t threshold = (std::numeric_limits<std::uint32_t>::max() - end + 1) % end;
    while (static_cast<std::uint32_t>(product) < threshold) {
      product = std::uint64_t{next32()} * end;
    }
  }
  return static_cast<std::uint32_t>(product >> 32);
}

bool NumpyRandom::coin() noexcept {
  if (coins_left_ == 0) {
    coins_ = next32();
    coins_left_ = 32;
  }
  const bool result = (coins_ & 1U) != 0;
  coins_ >>= 1;
  --coins_left_;
  return result;
}

}  // namespace elbeam::eval
