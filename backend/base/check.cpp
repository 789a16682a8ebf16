#include "base/check.hpp"

namespace elbeam {

std::string Quoted::operator()(std::string_view bytes, std::size_t max_bytes) const {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "'";
  for (std::size_t i = 0; i < bytes.size() && i < max_bytes; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (byte >= 0x20 && byte < 0x7f && byte != '\\') {
      out += bytes[i];
    } else {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  out += bytes.size() > max_bytes ? "...'" : "'";
  return out;
}

}  // namespace elbeam
