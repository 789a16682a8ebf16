// Little-endian fields of a file, every read checked against its end.
#pragma once

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace elbeam::archive {

class ByteReader {
 public:
  // `origin` is where `bytes` begin in the file: messages give places in the file.
  ByteReader(std::span<const std::byte> bytes, const std::string& where, std::int64_t position = 0,
             std::int64_t origin = 0)
      : bytes_(bytes), where_(where), position_(position), origin_(origin) {}

  std::int64_t position() const noexcept { return position_; }
  std::int64_t remaining() const noexcept { return ssize(bytes_.size()) - position_; }
  const std::string& where() const noexcept { return where_; }

  std::span<const std::byte> take(std::int64_t count, const char* what) {
    ELBEAM_CHECK(count >= 0 && count <= remaining(), ErrorCode::kFormat, where_, ": at byte ",
                 origin_ + position_, ": ", what, " needs ", count, " bytes, ", remaining(),
                 " are left (truncated file?)");
    const auto part = bytes_.subspan(usize(position_), usize(count));
    position_ += count;
    return part;
  }

  template <typename T>
  T read(const char* what) {
    T value{};
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  // An unsigned 64-bit size or offset, which has to fit the signed ones used here.
  std::int64_t read_size(const char* what) {
    const std::int64_t place = origin_ + position_;
    const auto value = read<std::uint64_t>(what);
    ELBEAM_CHECK(std::in_range<std::int64_t>(value), ErrorCode::kLimit, where_, ": at byte ", place,
                 ": ", what, " is out of range: ", value);
    return static_cast<std::int64_t>(value);
  }

  std::string_view text(std::int64_t count, const char* what) {
    const auto part = take(count, what);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& where_;
  std::int64_t position_;
  std::int64_t origin_;
};

}  // namespace elbeam::archive
