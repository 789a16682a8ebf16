#include "fairseq_bridge/token_array.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

namespace elbeam::fairseq {
namespace {

template <typename T>
std::vector<std::int64_t> convert(const TokenArray& array, const std::string& path,
                                  std::int64_t sentence) {
  std::vector<std::int64_t> out(usize(array.length));
  for (std::int64_t i = 0; i < ssize(out.size()); ++i) {
    const auto value = +load<T>(array.data, i);  // promoted: bytes print as numbers
    bool valid = false;
    if constexpr (std::is_same_v<T, double>) {
      valid = value >= 0.0 && value < 9.0e15 && value == std::floor(value);
    } else {
      valid = std::in_range<std::int64_t>(value) && value >= 0;
    }
    ELBEAM_CHECK(valid && static_cast<std::int64_t>(value) >= array.bias, ErrorCode::kFormat, path,
                 ": token ", i, " of sentence ", sentence, " is ", value, ", expected a token id",
                 array.bias == 0 ? "" : " of at least 1");
    out[usize(i)] = static_cast<std::int64_t>(value) - array.bias;
  }
  return out;
}

}  // namespace

ElementType element_type(std::uint64_t code, const std::string& path, std::int64_t offset) {
  ELBEAM_CHECK(code >= 1 && code <= 10, ErrorCode::kFormat, path, ": element type at byte ", offset,
               " is ", code, ", expected 1 to 10");
  return static_cast<ElementType>(code);
}

std::int64_t element_size(ElementType type) noexcept {
  switch (type) {
    case ElementType::kU8:
    case ElementType::kI8:
      return 1;
    case ElementType::kI16:
    case ElementType::kU16:
      return 2;
    case ElementType::kI32:
    case ElementType::kU32:
      return 4;
    default:
      return 8;
  }
}

std::vector<std::int64_t> read_tokens(const TokenArray& array, const std::string& path,
                                      std::int64_t sentence) {
  switch (array.type) {
    case ElementType::kU8:
      return convert<std::uint8_t>(array, path, sentence);
    case ElementType::kI8:
      return convert<std::int8_t>(array, path, sentence);
    case ElementType::kI16:
      return convert<std::int16_t>(array, path, sentence);
    case ElementType::kI32:
      return convert<std::int32_t>(array, path, sentence);
    case ElementType::kI64:
      return convert<std::int64_t>(array, path, sentence);
    case ElementType::kF64:
    case ElementType::kF64Too:
      return convert<double>(array, path, sentence);
    case ElementType::kU16:
      return convert<std::uint16_t>(array, path, sentence);
    case ElementType::kU32:
      return convert<std::uint32_t>(array, path, sentence);
    case ElementType::kU64:
      return convert<std::uint64_t>(array, path, sentence);
  }
  fail(ErrorCode::kInternal, "element type ", static_cast<int>(array.type));
}

void check_index_header(const MappedFile& index, std::string_view magic,
                        std::int64_t header_bytes) {
  const auto bytes = index.bytes();
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                              std::min(bytes.size(), usize(header_bytes)));
  ELBEAM_CHECK(head.substr(0, magic.size()) == magic, ErrorCode::kFormat, index.path(),
               ": not an index file: expected the magic ", magic.substr(0, magic.find('\0')),
               " at byte 0, found ", quoted(head.substr(0, magic.size())));
  ELBEAM_CHECK(ssize(head.size()) == header_bytes, ErrorCode::kFormat, index.path(),
               ": truncated header: expected ", header_bytes, " bytes, found ", head.size());
  const auto version = load<std::uint64_t>(bytes.data() + magic.size(), 0);
  ELBEAM_CHECK(version == 1, ErrorCode::kFormat, index.path(), ": version at byte ", magic.size(),
               " is ", version, ", expected 1");
}

void check_index_room(const MappedFile& index, std::int64_t header_bytes, std::int64_t count) {
  const std::int64_t expected = checked_add(header_bytes, checked_mul<std::int64_t>(count, 12));
  ELBEAM_CHECK(ssize(index.bytes().size()) >= expected, ErrorCode::kFormat, index.path(), ": ",
               count, " sentences need ", expected, " bytes, the file has ", index.bytes().size());
}

}  // namespace elbeam::fairseq
