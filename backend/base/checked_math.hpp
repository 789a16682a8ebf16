// Integer arithmetic for sizes that come from files and flags: throws Error(kLimit) where the
// result does not fit, instead of wrapping.
#pragma once

#include "base/check.hpp"

#include <concepts>
#include <cstdint>
#include <utility>

namespace elbeam {

template <std::integral T>
T checked_add(T a, T b) {
  T result{};
  ELBEAM_CHECK(!__builtin_add_overflow(a, b, &result), ErrorCode::kLimit, "size overflow: ", a,
               " + ", b);
  return result;
}

template <std::integral T>
T checked_mul(T a, T b) {
  T result{};
  ELBEAM_CHECK(!__builtin_mul_overflow(a, b, &result), ErrorCode::kLimit, "size overflow: ", a,
               " * ", b);
  return result;
}

// Converts between integer types, or throws when the value does not fit.
template <std::integral To, std::integral From>
To narrow(From value) {
  ELBEAM_CHECK(std::in_range<To>(value), ErrorCode::kLimit, "value out of range: ", value);
  return static_cast<To>(value);
}

// For indexing containers with the signed 64-bit sizes that the project uses throughout. The
// value is known to be non-negative where this is called.
constexpr std::size_t usize(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }
constexpr std::int64_t ssize(std::size_t value) noexcept {
  return static_cast<std::int64_t>(value);
}

}  // namespace elbeam
