// UTF-8 as Python's decoder understands it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace elbeam::text {

// What stands at one place of a byte string.
struct Utf8Unit {
  bool valid = false;
  char32_t code_point = 0;  // meaningful when valid
  // Bytes it takes, >= 1. When invalid: the bytes that Python's decoder reports, and replaces by
  // one U+FFFD, as one error (the longest prefix of a well-formed sequence, at least one byte).
  std::size_t length = 1;
};

// Requires offset < bytes.size(). Surrogates, overlong forms and values above U+10FFFF are invalid.
Utf8Unit utf8_unit(std::string_view bytes, std::size_t offset) noexcept;

// Offset of the first invalid byte; nothing when all is well-formed.
std::optional<std::size_t> find_invalid_utf8(std::string_view bytes) noexcept;

void append_utf8(std::string& out, char32_t code_point);

// Python's bytes.decode("utf-8", errors="replace"), encoded again.
std::string utf8_with_replacement(std::string_view bytes);

}  // namespace elbeam::text
