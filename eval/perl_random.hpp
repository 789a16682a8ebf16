// Perl's rand(), the same on every machine since 5.20: the 48-bit generator of drand48().
#pragma once

#include <cstdint>

namespace elbeam::eval {

class PerlRandom {
 public:
  explicit PerlRandom(std::uint32_t seed) noexcept  // srand(seed)
      : state_((std::uint64_t{seed} << 16) + 0x330e) {}

  // rand(end): 0 <= result < end.
  double below(double end) noexcept {
    state_ = (state_ * 0x5deece66dULL + 0xb) & 0xffffffffffffULL;
    return end * (static_cast<double>(state_) * 0x1p-48);
  }

 private:
  std::uint64_t state_;
};

}  // namespace elbeam::eval
