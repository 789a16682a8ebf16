#include "text/python_format.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

namespace elbeam::text {
namespace {

std::string non_finite(double value) {
  if (std::isnan(value)) return "nan";
  return value < 0 ? "-inf" : "inf";
}

// Python writes the exponent form outside this range of decimal exponents (repr's "r" format).
constexpr int kSmallestFixedExponent = -4;
constexpr int kLargestFixedExponent = 15;

// digits d1 d2 ... and exponent e stand for d1.d2... * 10^e.
std::string place_point(std::string_view digits, int exponent, int largest_fixed_exponent) {
  std::string out;
  if (exponent < kSmallestFixedExponent || exponent > largest_fixed_exponent) {
    out += digits.substr(0, 1);
    if (digits.size() > 1) out.append(".").append(digits.substr(1));
    const int magnitude = std::abs(exponent);
    out.append(exponent < 0 ? "e-" : "e+").append(magnitude < 10 ? "0" : "");
    return out + std::to_string(magnitude);
  }
  if (exponent < 0) {
    out.append("0.").append(usize(-exponent - 1), '0').append(digits);
    return out;
  }
  const std::size_t before_point = usize(exponent) + 1;
  if (digits.size() <= before_point) {
    out.append(digits).append(before_point - digits.size(), '0').append(".0");
    return out;
  }
  out.append(digits.substr(0, before_point)).append(".").append(digits.substr(before_point));
  return out;
}

const char* sign_of(double value) { return std::signbit(value) ? "-" : ""; }

// "d[.ddd]e[+-]dd" as Python writes it.
std::string from_scientific(std::string_view text, int largest_fixed_exponent) {
  const std::size_t e = text.find('e');
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c != '.') digits += c;
  }
  while (digits.size() > 1 && digits.back() == '0') digits.pop_back();
  const int exponent = std::stoi(std::string(text.substr(e + 1)));
  return place_point(digits, exponent, largest_fixed_exponent);
}

}  // namespace

std::string python_repr(double value) {
  if (!std::isfinite(value)) return non_finite(value);
  std::array<char, 32> buffer{};
  // Shortest scientific form: "d[.ddd]e[+-]dd".
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::fabs(value),
                                    std::chars_format::scientific);
  return sign_of(value) + from_scientific({buffer.data(), result.ptr}, kLargestFixedExponent);
}

std::string python_general(double value, int digits) {
  ELBEAM_INVARIANT(digits >= 1 && digits <= 17 && std::isfinite(value));
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::fabs(value),
                                    std::chars_format::scientific, digits - 1);
  return sign_of(value) + from_scientific({buffer.data(), result.ptr}, digits - 1);
}

std::string python_fixed(double value, int digits) {
  ELBEAM_INVARIANT(digits >= 0 && digits <= 100);
  if (!std::isfinite(value)) return non_finite(value);
  std::array<char, 512> buffer{};  // 309 digits before the point, a sign, a point, 100 after it
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                    std::chars_format::fixed, digits);
  ELBEAM_INVARIANT(result.ec == std::errc{});
  return std::string(buffer.data(), result.ptr);
}

std::string python_thousands(std::int64_t value) {
  std::string out = std::to_string(value);
  const std::size_t first_digit = value < 0 ? 1 : 0;
  for (std::size_t place = out.size(); place > first_digit + 3;) {
    place -= 3;
    out.insert(place, 1, ',');
  }
  return out;
}

}  // namespace elbeam::text
