#include "fairseq_bridge/dataset_builder.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/token_array.hpp"

namespace elbeam::fairseq {
namespace {

// The `bytes` low bytes of `value`, lowest first.
void append_little_endian(std::string& out, std::uint64_t value, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; ++i) {
    out += static_cast<char>(value & 0xff);
    value >>= 8;
  }
}

ElementType element_type_for(DatasetBuilder::Format format, std::optional<std::int64_t> words) {
  if (format == DatasetBuilder::Format::kTnt) return ElementType::kI32;
  if (words && *words < 65'500) return ElementType::kU16;
  if (!words || *words < 4'294'967'295) return ElementType::kU32;
  return ElementType::kI64;
}

constexpr std::size_t kFlushBytes = std::size_t{1} << 20;

}  // namespace

DatasetBuilder::DatasetBuilder(const std::string& prefix, Format format,
                               std::optional<std::int64_t> vocabulary_size)
    : prefix_(prefix),
      format_(format),
      element_bytes_(element_size(element_type_for(format, vocabulary_size))),
      type_code_(static_cast<std::uint8_t>(element_type_for(format, vocabulary_size))),
      data_(OutputFile::create(prefix + ".bin")) {}

void DatasetBuilder::encode(std::span<const std::int64_t> tokens, EncodedSentences& out) const {
  // IndexedDatasetBuilder.add_item: "+1 for Lua compatibility".
  const std::int64_t bias = format_ == Format::kTnt ? 1 : 0;
  for (const std::int64_t token : tokens) {
    append_little_endian(out.bytes, static_cast<std::uint64_t>(token + bias), element_bytes_);
  }
  out.sizes.push_back(narrow<std::int32_t>(tokens.size()));
}

void DatasetBuilder::append(const EncodedSentences& sentences) {
  data_.append(sentences.bytes);
  data_.flush();
  sizes_.insert(sizes_.end(), sentences.sizes.begin(), sentences.sizes.end());
}

std::string DatasetBuilder::index_header() const {
  std::string header =
      format_ == Format::kMmap ? std::string("MMIDIDX\0\0", 9) : std::string("TNTIDX\0\0", 8);
  append_little_endian(header, 1, 8);
  if (format_ == Format::kMmap) {
    append_little_endian(header, type_code_, 1);
    append_little_endian(header, sizes_.size(), 8);
    return header;
  }
  append_little_endian(header, type_code_, 8);
  append_little_endian(header, static_cast<std::uint64_t>(element_bytes_), 8);
  append_little_endian(header, sizes_.size(), 8);
  append_little_endian(header, sizes_.size(), 8);  // one dimension each
  return header;
}

void DatasetBuilder::finish() {
  OutputFile index = OutputFile::create(prefix_ + ".idx");
  std::string pending = index_header();
  const auto put = [&](std::int64_t value, std::int64_t bytes) {
    append_little_endian(pending, static_cast<std::uint64_t>(value), bytes);
    if (pending.size() < kFlushBytes) return;
    index.append(pending);
    index.flush();
    pending.clear();
  };
  const std::int64_t count = ssize(sizes_.size());
  if (format_ == Format::kMmap) {
    for (const std::int32_t size : sizes_) put(size, 4);
    std::int64_t address = 0;
    for (const std::int32_t size : sizes_) {
      put(address, 8);
      address += size * element_bytes_;
    }
  } else {
    for (std::int64_t i = 0; i <= count; ++i) put(i, 8);  // dim_offsets
    std::int64_t offset = 0;
    put(offset, 8);
    for (const std::int32_t size : sizes_) put(offset += size, 8);  // data_offsets
    for (const std::int32_t size : sizes_) put(size, 8);
  }
  index.append(pending);
  index.flush();
}

}  // namespace elbeam::fairseq
