// Arrays in the memory of the device under test, with guard bands that a kernel must leave alone.
#pragma once

#include "device/test_device.hpp"
#include "kernels/core/element.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

namespace elbeam::kernels {

inline constexpr std::int64_t kGuardBytes = 256;

// Whether every access is watched, which is slow, and finds races under any schedule: one is
// enough.
#if defined(ELBEAM_TRACED)
inline constexpr bool kTraced = true;
#else
inline constexpr bool kTraced = false;
#endif

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count)
      : count_(count),
        memory_(static_cast<unsigned char*>(under_test::allocate(bytes() + 2 * kGuardBytes))) {}
  explicit DeviceArray(const std::vector<T>& host) : DeviceArray(host.size()) {
    if (!host.empty()) std::memcpy(data(), host.data(), count_ * sizeof(T));
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() {
    under_test::finish();
    for (std::int64_t i = 0; i < kGuardBytes; ++i) {
      EXPECT_EQ(memory_[i], 0xff) << "written before the array";
      EXPECT_EQ((memory_ + kGuardBytes + bytes())[i], 0xff) << "written behind the array";
    }
    under_test::release(memory_);
  }

  T* data() {
    under_test::finish();
    return reinterpret_cast<T*>(memory_ + kGuardBytes);
  }
  std::vector<T> host() const {
    under_test::finish();
    std::vector<T> copy(count_);
    if (count_ > 0)
      std::memcpy(copy.data(), memory_ + kGuardBytes, static_cast<std::size_t>(bytes()));
    return copy;
  }

 private:
  std::int64_t bytes() const { return static_cast<std::int64_t>(count_ * sizeof(T)); }
  std::size_t count_;
  unsigned char* memory_;
};

// Normal numbers, rounded to T; a deviation of 0 is allowed.
template <typename T>
std::vector<T> random_numbers(std::mt19937& random, std::size_t count, float deviation = 1.0F) {
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::vector<T> numbers(count);
  for (T& number : numbers) number = from_float<T>(deviation * normal(random));
  return numbers;
}

inline int random_int(std::mt19937& random, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(random);
}

// The squared error of all numbers that expect_close() has seen since the last check, relative to
// their squares: finer than a bound for each number, where many are a little off.
struct ErrorSum {
  double error = 0.0;
  double total = 0.0;
};
inline ErrorSum& error_sum() {
  static ErrorSum sum;
  return sum;
}
inline void expect_small_error() {
  const ErrorSum sum = std::exchange(error_sum(), {});
  EXPECT_LE(sum.error, 5e-4 * sum.total) << "normalised mean squared error";
}

// What a result of type T may differ from one in double: relative to `scale`, the size of the
// numbers that were summed. NaN and infinities have to be the same.
template <typename T>
void expect_close(T found, double wanted, double scale, const char* what) {
  const double value = static_cast<double>(to_float(found));
  if (std::isnan(wanted) || std::isinf(wanted)) {
    EXPECT_TRUE(std::isnan(wanted) ? std::isnan(value) : value == wanted)
        << what << ": " << value << " instead of " << wanted;
    return;
  }
  error_sum().error += (value - wanted) * (value - wanted);
  error_sum().total += wanted * wanted;
  const double tolerance = sizeof(T) == 4 ? 1e-5 : std::is_same_v<T, Half> ? 1e-3 : 8e-3;
  EXPECT_NEAR(value, wanted, tolerance * std::max(scale, std::abs(wanted))) << what;
}

}  // namespace elbeam::kernels
