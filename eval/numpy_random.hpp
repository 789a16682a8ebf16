// numpy.random.default_rng(seed): the generator PCG64 (O'Neill 2014) seeded through SeedSequence,
// and the two ways of drawing that sacrebleu's significance tests use.
#pragma once

#include <array>
#include <cstdint>

namespace elbeam::eval {

// Not thread-safe.
class NumpyRandom {
 public:
  explicit NumpyRandom(std::uint64_t seed);

  // integers(0, end), 1 <= end < 2^32.
  std::uint32_t below(std::uint32_t end) noexcept;

  // One element of integers(2, dtype=bool); consecutive calls are one call's elements.
  bool coin() noexcept;

 private:
  __extension__ using Uint128 = unsigned __int128;

  std::uint64_t next64() noexcept;
  std::uint32_t next32() noexcept;

  Uint128 state_ = 0;
  Uint128 increment_ = 0;
  std::uint32_t high_half_ = 0;  // of the last 64 bits
  bool has_high_half_ = false;
  std::uint32_t coins_ = 0;
  int coins_left_ = 0;
};

}  // namespace elbeam::eval
