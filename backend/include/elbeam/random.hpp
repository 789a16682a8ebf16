// The random numbers that fairseq draws on the CPU: torch's default generator.
#pragma once

#include <cstdint>
#include <random>

namespace elbeam {

// A Mersenne Twister that is seeded and read as torch.manual_seed(seed) and torch's CPU kernels do
// it (aten/src/ATen/CPUGeneratorImpl.cpp, ATen/core/TransformationHelper.h of torch 2.11).
// fairseq sets the seed before it builds its models, and building them draws numbers: skip() goes
// over these (elbeam::ModelInfo::initialisation_draws), and over two more for each iterator over
// data that fairseq opens before it decodes (one in fairseq-generate; one before every block of
// fairseq-interactive). Copies go on separately. Not thread-safe.
class RandomStream {
 public:
  // Like torch, looks at the lower 32 bits of the seed.
  explicit RandomStream(std::uint64_t seed) : engine_(static_cast<std::uint32_t>(seed)) {}

  // One draw: 32 bits.
  std::uint32_t next() { return static_cast<std::uint32_t>(engine_()); }

  // Two draws: a multiple of 2^-53 in [0, 1) (at::uniform_real_distribution<double>).
  double uniform() {
    const std::uint64_t high = next();
    const std::uint64_t bits = (high << 32) | next();
    return static_cast<double>(bits & ((std::uint64_t{1} << 53) - 1)) * 0x1p-53;
  }

  // Leaves out so many draws. Takes about 3 seconds for 1e9.
  void skip(std::uint64_t draws) { engine_.discard(draws); }

 private:
  std::mt19937 engine_;
};

}  // namespace elbeam
