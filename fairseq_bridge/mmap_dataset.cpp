#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"
#include "base/mapped_file.hpp"
#include "fairseq_bridge/token_dataset.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace elbeam::fairseq {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

// Layout of the .idx file: magic, u64 version, u8 element type, u64 count, i32 sizes[count],
// i64 pointers[count] (byte offsets into the .bin file). fairseq ignores what follows.
constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr std::string_view kOldMagic("TNTIDX\0\0", 8);
constexpr std::int64_t kHeaderBytes = 9 + 8 + 1 + 8;

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

std::int64_t element_size(ElementType type) {
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

template <typename T>
T load(const std::byte* data, std::int64_t index) {
  T value;
  std::memcpy(&value, data + index * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

class MmapDataset final : public TokenDataset {
 public:
  explicit MmapDataset(const std::string& prefix)
      : index_(prefix + ".idx"), data_(prefix + ".bin") {
    read_header();
    check_entries();
  }

  std::int64_t size() const noexcept override { return count_; }
  std::int64_t length(std::int64_t index) const override {
    return load<std::int32_t>(sizes_, index);
  }

  std::vector<std::int64_t> tokens(std::int64_t index) const override {
    const std::byte* data = data_.bytes().data() + load<std::int64_t>(pointers_, index);
    switch (type_) {
      case ElementType::kU8:
        return convert<std::uint8_t>(data, index);
      case ElementType::kI8:
        return convert<std::int8_t>(data, index);
      case ElementType::kI16:
        return convert<std::int16_t>(data, index);
      case ElementType::kI32:
        return convert<std::int32_t>(data, index);
      case ElementType::kI64:
        return convert<std::int64_t>(data, index);
      case ElementType::kF64:
      case ElementType::kF64Too:
        return convert<double>(data, index);
      case ElementType::kU16:
        return convert<std::uint16_t>(data, index);
      case ElementType::kU32:
        return convert<std::uint32_t>(data, index);
      case ElementType::kU64:
        return convert<std::uint64_t>(data, index);
    }
    fail(ErrorCode::kInternal, "element type ", static_cast<int>(type_));
  }

 private:
  void read_header() {
    const auto bytes = index_.bytes();
    const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                                std::min<std::size_t>(bytes.size(), kHeaderBytes));
    ELBEAM_CHECK(
        head.substr(0, 8) != kOldMagic, ErrorCode::kUnsupported, index_.path(),
        ": the TNTIDX format (--dataset-impl cached, lazy) is not supported yet; preprocess "
        "the data with --dataset-impl mmap");
    ELBEAM_CHECK(head.substr(0, 9) == kMagic, ErrorCode::kFormat, index_.path(),
                 ": not an index file: expected the magic MMIDIDX at byte 0, found ",
                 quoted(head.substr(0, 9)));
    ELBEAM_CHECK(ssize(head.size()) == kHeaderBytes, ErrorCode::kFormat, index_.path(),
                 ": truncated header: expected ", kHeaderBytes, " bytes, found ", head.size());
    const auto version = load<std::uint64_t>(bytes.data() + 9, 0);
    ELBEAM_CHECK(version == 1, ErrorCode::kFormat, index_.path(), ": version at byte 9 is ",
                 version, ", expected 1");
    const int code = std::to_integer<int>(bytes[17]);
    ELBEAM_CHECK(code >= 1 && code <= 10, ErrorCode::kFormat, index_.path(),
                 ": element type at byte 17 is ", code, ", expected 1 to 10");
    type_ = static_cast<ElementType>(code);
    count_ = narrow<std::int64_t>(load<std::uint64_t>(bytes.data() + 18, 0));
    const std::int64_t expected = checked_add(kHeaderBytes, checked_mul<std::int64_t>(count_, 12));
    ELBEAM_CHECK(ssize(bytes.size()) >= expected, ErrorCode::kFormat, index_.path(), ": ", count_,
                 " sentences need ", expected, " bytes, the file has ", bytes.size());
    sizes_ = bytes.data() + kHeaderBytes;
    pointers_ = sizes_ + count_ * 4;
  }

  void check_entries() const {
    const std::int64_t data_bytes = ssize(data_.bytes().size());
    for (std::int64_t i = 0; i < count_; ++i) {
      const std::int64_t size = load<std::int32_t>(sizes_, i);
      ELBEAM_CHECK(size >= 0, ErrorCode::kFormat, index_.path(), ": size of sentence ", i, " is ",
                   size);
      ELBEAM_CHECK(size <= limits::kMaxSequenceLength, ErrorCode::kLimit, index_.path(),
                   ": sentence ", i, " has ", size, " tokens, the limit is ",
                   limits::kMaxSequenceLength);
      const std::int64_t pointer = load<std::int64_t>(pointers_, i);
      const std::int64_t bytes = size * element_size(type_);
      ELBEAM_CHECK(pointer >= 0 && pointer <= data_bytes && bytes <= data_bytes - pointer,
                   ErrorCode::kFormat, index_.path(), ": sentence ", i, " is at bytes ", pointer,
                   " + ", bytes, " of ", data_.path(), ", which has ", data_bytes);
    }
  }

  template <typename T>
  std::vector<std::int64_t> convert(const std::byte* data, std::int64_t index) const {
    std::vector<std::int64_t> out(usize(length(index)));
    for (std::int64_t i = 0; i < ssize(out.size()); ++i) {
      const auto value = +load<T>(data, i);  // promoted: bytes print as numbers
      bool valid = false;
      if constexpr (std::is_same_v<T, double>) {
        valid = value >= 0.0 && value < 9.0e15 && value == std::floor(value);
      } else {
        valid = std::in_range<std::int64_t>(value) && value >= 0;
      }
      ELBEAM_CHECK(valid, ErrorCode::kFormat, data_.path(), ": token ", i, " of sentence ", index,
                   " is ", value, ", expected a token id");
      out[usize(i)] = static_cast<std::int64_t>(value);
    }
    return out;
  }

  MappedFile index_;
  MappedFile data_;
  ElementType type_ = ElementType::kU16;
  std::int64_t count_ = 0;
  const std::byte* sizes_ = nullptr;
  const std::byte* pointers_ = nullptr;
};

}  // namespace

std::unique_ptr<TokenDataset> open_mmap_dataset(const std::string& prefix) {
  return std::make_unique<MmapDataset>(prefix);
}

}  // namespace elbeam::fairseq
