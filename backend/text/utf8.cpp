#include "text/utf8.hpp"

#include <cstdint>
#include <cstring>

namespace elbeam::text {
namespace {

unsigned byte_at(std::string_view bytes, std::size_t offset) noexcept {
  return static_cast<unsigned char>(bytes[offset]);
}

// A lead byte: sequence length and the range that the second byte must lie in. Every later byte
// must be 80..BF (Unicode standard, table 3-7).
struct Lead {
  std::size_t length = 0;  // 0: no sequence starts with this byte
  unsigned second_low = 0x80;
  unsigned second_high = 0xbf;
};

Lead classify_lead(unsigned byte) noexcept {
  if (byte < 0x80) return {1};
  if (byte >= 0xc2 && byte <= 0xdf) return {2};
  if (byte == 0xe0) return {3, 0xa0, 0xbf};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte >= 0xe1 && byte <= 0xef) return {3};
  if (byte == 0xf0) return {4, 0x90, 0xbf};
  if (byte >= 0xf1 && byte <= 0xf3) return {4};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {0};
}

// How many bytes from `offset` on are certainly ASCII: a multiple of eight.
std::size_t ascii_run(std::string_view bytes, std::size_t offset) noexcept {
  std::size_t length = 0;
  for (std::uint64_t eight = 0; offset + length + 8 <= bytes.size(); length += 8) {
    std::memcpy(&eight, bytes.data() + offset + length, 8);
    if ((eight & 0x8080808080808080ULL) != 0) break;
  }
  return length;
}

}  // namespace

Utf8Unit utf8_unit(std::string_view bytes, std::size_t offset) noexcept {
  const unsigned first = byte_at(bytes, offset);
  const Lead lead = classify_lead(first);
  if (lead.length == 0) return {false, 0, 1};
  if (lead.length == 1) return {true, static_cast<char32_t>(first), 1};
  char32_t code_point = first & (0x7fU >> lead.length);
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (offset + i >= bytes.size()) return {false, 0, i};
    const unsigned byte = byte_at(bytes, offset + i);
    const unsigned low = i == 1 ? lead.second_low : 0x80;
    const unsigned high = i == 1 ? lead.second_high : 0xbf;
    if (byte < low || byte > high) return {false, 0, i};
    code_point = (code_point << 6) | (byte & 0x3fU);
  }
  return {true, code_point, lead.length};
}

std::optional<std::size_t> find_invalid_utf8(std::string_view bytes) noexcept {
  for (std::size_t i = ascii_run(bytes, 0); i < bytes.size();) {
    const Utf8Unit unit = utf8_unit(bytes, i);
    if (!unit.valid) return i;
    i += unit.length;
    if (unit.length > 1) i += ascii_run(bytes, i);
  }
  return std::nullopt;
}

void append_utf8(std::string& out, char32_t code_point) {
  const auto put = [&out](char32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    put(0xe0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3f));
    put(0x80 | (code_point & 0x3f));
  } else {
    put(0xf0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3f));
    put(0x80 | ((code_point >> 6) & 0x3f));
    put(0x80 | (code_point & 0x3f));
  }
}

std::string utf8_with_replacement(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size();) {
    const Utf8Unit unit = utf8_unit(bytes, i);
    if (unit.valid) {
      out.append(bytes.substr(i, unit.length));
    } else {
      append_utf8(out, U'\uFFFD');
    }
    i += unit.length;
  }
  return out;
}

}  // namespace elbeam::text
