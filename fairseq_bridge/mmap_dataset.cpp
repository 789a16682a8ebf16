#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"
#include "base/mapped_file.hpp"
#include "fairseq_bridge/token_array.hpp"
#include "fairseq_bridge/token_dataset.hpp"

#include <algorithm>
#include <string_view>

namespace elbeam::fairseq {
namespace {

// Layout of the .idx file: magic, u64 version, u8 element type, u64 count, i32 sizes[count],
// i64 pointers[count] (byte offsets into the .bin file). fairseq ignores what follows.
constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr std::int64_t kHeaderBytes = 9 + 8 + 1 + 8;

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
    return read_tokens({data, length(index), type_, 0}, data_.path(), index);
  }

 private:
  void read_header() {
    const auto bytes = index_.bytes();
    check_index_header(index_, kMagic, kHeaderBytes);
    type_ = element_type(std::to_integer<std::uint64_t>(bytes[17]), index_.path(), 17);
    count_ = narrow<std::int64_t>(load<std::uint64_t>(bytes.data() + 18, 0));
    check_index_room(index_, kHeaderBytes, count_);
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
