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

// Layout of the .idx file: magic, then u64: version, element type, element size, count, number of
// dimensions; then i64: dim_offsets[count + 1], data_offsets[count + 1], sizes[dimensions]. The
// data_offsets count elements of the element size that the header names.
constexpr std::string_view kMagic("TNTIDX\0\0", 8);
constexpr std::int64_t kHeaderBytes = 8 + 5 * 8;
// IndexedDatasetBuilder.add_item: "+1 for Lua compatibility".
constexpr std::int64_t kLuaBias = 1;

class TntDataset final : public TokenDataset {
 public:
  explicit TntDataset(const std::string& prefix) : index_(prefix + ".idx"), data_(prefix + ".bin") {
    read_header();
    check_entries();
  }

  std::int64_t size() const noexcept override { return count_; }
  std::int64_t length(std::int64_t index) const override {
    return load<std::int64_t>(sizes_, index);
  }
  std::vector<std::int64_t> tokens(std::int64_t index) const override {
    const std::byte* data =
        data_.bytes().data() + load<std::int64_t>(data_offsets_, index) * element_size_;
    return read_tokens({data, length(index), type_, kLuaBias}, data_.path(), index);
  }

 private:
  std::int64_t header_field(std::int64_t field) const {
    return narrow<std::int64_t>(load<std::uint64_t>(index_.bytes().data() + 8, field));
  }

  void read_header() {
    const auto bytes = index_.bytes();
    const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                                std::min<std::size_t>(bytes.size(), kHeaderBytes));
    ELBEAM_CHECK(head.substr(0, 8) == kMagic, ErrorCode::kFormat, index_.path(),
                 ": not an index file: expected the magic TNTIDX at byte 0, found ",
                 quoted(head.substr(0, 8)));
    ELBEAM_CHECK(ssize(head.size()) == kHeaderBytes, ErrorCode::kFormat, index_.path(),
                 ": truncated header: expected ", kHeaderBytes, " bytes, found ", head.size());
    const std::int64_t version = header_field(0);
    ELBEAM_CHECK(version == 1, ErrorCode::kFormat, index_.path(), ": version at byte 8 is ",
                 version, ", expected 1");
    type_ = element_type(load<std::uint64_t>(bytes.data() + 16, 0), index_.path(), 16);
    element_size_ = header_field(2);
    // The writer says 4 for doubles and counts accordingly, so that both come out right.
    ELBEAM_CHECK(element_size_ >= 1 && element_size_ <= 8, ErrorCode::kFormat, index_.path(),
                 ": element size at byte 24 is ", element_size_, ", expected 1 to 8");
    count_ = header_field(3);
    const std::int64_t dimensions = header_field(4);
    ELBEAM_CHECK(dimensions == count_, ErrorCode::kFormat, index_.path(), ": ", dimensions,
                 " dimensions for ", count_, " sentences, expected one each");
    const std::int64_t longs = checked_add(checked_mul<std::int64_t>(count_, 3), std::int64_t{2});
    const std::int64_t expected = checked_add(kHeaderBytes, checked_mul<std::int64_t>(longs, 8));
    ELBEAM_CHECK(ssize(bytes.size()) >= expected, ErrorCode::kFormat, index_.path(), ": ", count_,
                 " sentences need ", expected, " bytes, the file has ", bytes.size());
    dim_offsets_ = bytes.data() + kHeaderBytes;
    data_offsets_ = dim_offsets_ + (count_ + 1) * 8;
    sizes_ = data_offsets_ + (count_ + 1) * 8;
  }

  void check_entries() const {
    const std::int64_t data_bytes = ssize(data_.bytes().size());
    for (std::int64_t i = 0; i < count_; ++i) {
      const std::int64_t dim_offset = load<std::int64_t>(dim_offsets_, i);
      ELBEAM_CHECK(dim_offset == i, ErrorCode::kFormat, index_.path(),
                   ": dimension offset of sentence ", i, " is ", dim_offset, ", expected ", i);
      const std::int64_t size = load<std::int64_t>(sizes_, i);
      ELBEAM_CHECK(size >= 0, ErrorCode::kFormat, index_.path(), ": size of sentence ", i, " is ",
                   size);
      ELBEAM_CHECK(size <= limits::kMaxSequenceLength, ErrorCode::kLimit, index_.path(),
                   ": sentence ", i, " has ", size, " tokens, the limit is ",
                   limits::kMaxSequenceLength);
      const std::int64_t offset = load<std::int64_t>(data_offsets_, i);
      const std::int64_t bytes = size * element_size(type_);
      ELBEAM_CHECK(offset >= 0 && offset <= data_bytes / element_size_ &&
                       bytes <= data_bytes - offset * element_size_,
                   ErrorCode::kFormat, index_.path(), ": sentence ", i, " is at element ", offset,
                   ", ", bytes, " bytes, of ", data_.path(), ", which has ", data_bytes, " bytes");
    }
  }

  MappedFile index_;
  MappedFile data_;
  ElementType type_ = ElementType::kI32;
  std::int64_t element_size_ = 4;
  std::int64_t count_ = 0;
  const std::byte* dim_offsets_ = nullptr;
  const std::byte* data_offsets_ = nullptr;
  const std::byte* sizes_ = nullptr;
};

}  // namespace

std::unique_ptr<TokenDataset> open_tnt_dataset(const std::string& prefix) {
  return std::make_unique<TntDataset>(prefix);
}

}  // namespace elbeam::fairseq
