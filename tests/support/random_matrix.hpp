// Seeded random numbers for numeric tests.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace elbeam::testing_support {

template <typename T>
std::vector<T> random_values(std::mt19937& rng, std::int64_t count, double scale = 1.0) {
  std::normal_distribution<double> normal(0.0, scale);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) value = static_cast<T>(normal(rng));
  return values;
}

inline std::int64_t random_int(std::mt19937& rng, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(rng);
}

}  // namespace elbeam::testing_support
