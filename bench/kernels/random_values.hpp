// Numbers to multiply: the same in every run.
#pragma once

#include <cstdint>

namespace elbeam::bench {

// Uniform in [-scale / 2, scale / 2).
inline void fill_random(float* values, std::int64_t count, float scale) {
  std::uint32_t state = 1;
  for (std::int64_t i = 0; i < count; ++i) {
    state = state * 1664525U + 1013904223U;
    values[i] = (static_cast<float>(state >> 8) * 0x1p-24F - 0.5F) * scale;
  }
}

}  // namespace elbeam::bench
