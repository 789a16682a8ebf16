// Arrays of numbers in fairseq's data files (little-endian), read with checks.
#pragma once

#include "base/mapped_file.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::fairseq {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

// indexed_dataset.py:_code_to_dtype.
enum class ElementType : std::uint8_t {
  kU8 = 1,
  kI8,
  kI16,
  kI32,
  kI64,
  kF64,
  kF64Too,
  kU16,
  kU32,
  kU64
};

// Throws Error(kFormat) for an unknown code, which stands at byte `offset` of the file `path`.
ElementType element_type(std::uint64_t code, const std::string& path, std::int64_t offset);

std::int64_t element_size(ElementType type) noexcept;  // bytes

// The element `index` of an array of T at `data`, which need not be aligned.
template <typename T>
T load(const std::byte* data, std::int64_t index) noexcept {
  T value;
  std::memcpy(&value, data + index * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// The tokens of one sentence where they lie. `bias` was added to every id when they were written.
struct TokenArray {
  const std::byte* data;
  std::int64_t length;
  ElementType type;
  std::int64_t bias;
};

// The ids. Throws Error(kFormat) naming `path` and `sentence` for one that is negative or not an
// integer.
std::vector<std::int64_t> read_tokens(const TokenArray& array, const std::string& path,
                                      std::int64_t sentence);

// How the .idx files of mmap and huffman data begin and go on. Throw Error(kFormat) naming what is
// wrong where: `magic` (9 bytes, the name and two zeros), a version other than 1, fewer than
// `header_bytes`; and a file too small for `count` entries of 12 bytes behind the header.
void check_index_header(const MappedFile& index, std::string_view magic, std::int64_t header_bytes);
void check_index_room(const MappedFile& index, std::int64_t header_bytes, std::int64_t count);

}  // namespace elbeam::fairseq
