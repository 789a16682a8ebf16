#include "archive/zip_index.hpp"

#include "archive/byte_reader.hpp"
#include "archive/crc32.hpp"
#include "base/limits.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

namespace elbeam::archive {
namespace {

constexpr std::uint32_t kLocalSignature = 0x04034b50;
constexpr std::uint32_t kDescriptorSignature = 0x08074b50;
constexpr std::uint32_t kCentralSignature = 0x02014b50;
constexpr std::uint32_t kEndSignature = 0x06054b50;
constexpr std::uint32_t kEnd64Signature = 0x06064b50;
constexpr std::uint32_t kLocator64Signature = 0x07064b50;
constexpr std::int64_t kEndBytes = 22;
constexpr std::int64_t kEnd64Bytes = 56;
constexpr std::int64_t kLocator64Bytes = 20;
constexpr std::uint16_t kFlagDescriptor = 0x0008;
constexpr std::uint16_t kFlagUtf8 = 0x0800;
constexpr std::uint16_t kStored = 0;
constexpr std::uint16_t kDeflated = 8;
constexpr std::uint32_t kSee64 = 0xffffffffU;
constexpr std::size_t kCrcStep = std::size_t{1} << 20;
constexpr std::uint16_t kZip64Id = 0x0001;
constexpr std::uint16_t kPaddingId = 0x4246;  // "FB" in caffe2/serialize/inline_container.cc

struct Entry {
  std::string name;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint32_t crc = 0;
  std::int64_t stored = 0;  // bytes in the file
  std::int64_t size = 0;    // bytes unpacked
  std::int64_t local = 0;   // offset of the local header
  bool zip64 = false;       // whether any of the three is in the zip64 extra field
  std::span<const std::byte> data;
};

struct Directory {
  std::int64_t entries = 0;
  std::int64_t offset = 0;
  std::int64_t size = 0;
};

void check_crc(unsigned long got, std::uint32_t expected, const std::string& where,
               const std::string& name) {
  ELBEAM_CHECK(got == expected, ErrorCode::kIntegrity, where, ": zip entry ", quoted(name),
               ": its content does not match its checksum; the file is damaged");
}

class Indexer {
 public:
  Indexer(const MappedFile& file, DataCheck check)
      : mapping_(file), file_(file.bytes()), where_(file.path()), check_(check) {}

  std::vector<Entry> run() {
    const Directory directory = read_end();
    directory_ = file_.subspan(usize(directory.offset), usize(directory.size));
    std::vector<Entry> entries = read_directory(directory);
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return a.local < b.local; });
    std::int64_t position = 0;
    for (Entry& entry : entries) position = read_local(entry, position);
    ELBEAM_CHECK(position == directory.offset, ErrorCode::kFormat, where_,
                 ": zip: ", directory.offset - position,
                 " bytes between the last entry and the directory at byte ", directory.offset);
    for (const Entry& entry : entries) check_content(entry);
    return entries;
  }

  std::span<const std::byte> directory() const { return directory_; }
  std::vector<StoredEntry> take_unchecked() { return std::move(unchecked_); }

 private:
  ByteReader at(std::int64_t offset, std::int64_t bytes, const char* what) const {
    ELBEAM_CHECK(offset >= 0 && bytes >= 0 && offset <= ssize(file_.size()) - bytes,
                 ErrorCode::kFormat, where_, ": zip: ", what, " lies outside the file (byte ",
                 offset, ", ", bytes, " bytes, of ", file_.size(), "); truncated file?");
    return ByteReader(file_, where_, offset);
  }

  std::int64_t offset_of(std::span<const std::byte> part) const {
    return part.data() - file_.data();
  }

  Directory read_end() const {
    const std::int64_t end = ssize(file_.size()) - kEndBytes;
    ByteReader reader = at(end, kEndBytes, "the end record");
    ELBEAM_CHECK(
        reader.read<std::uint32_t>("signature") == kEndSignature, ErrorCode::kFormat, where_,
        ": zip: no end record at the end of the file (truncated, or bytes follow the archive)");
    const auto disk = reader.read<std::uint16_t>("disk");
    const auto directory_disk = reader.read<std::uint16_t>("disk");
    const auto entries_here = reader.read<std::uint16_t>("entries");
    const auto entries = reader.read<std::uint16_t>("entries");
    const auto size = reader.read<std::uint32_t>("directory size");
    const auto offset = reader.read<std::uint32_t>("directory offset");
    const auto comment = reader.read<std::uint16_t>("comment");
    ELBEAM_CHECK(disk == 0 && directory_disk == 0 && entries_here == entries && comment == 0,
                 ErrorCode::kFormat, where_, ": zip: several disks or a comment in the end record");
    Directory directory{entries, offset, size};
    std::int64_t directory_end = end;
    const std::int64_t locator = end - kLocator64Bytes;
    if (locator >= kEnd64Bytes &&
        ByteReader(file_, where_, locator).read<std::uint32_t>("locator") == kLocator64Signature) {
      directory = read_end64(locator, directory);
      directory_end = locator - kEnd64Bytes;
    }
    ELBEAM_CHECK(directory.entries >= 1 && directory.entries <= limits::kMaxZipEntries,
                 ErrorCode::kLimit, where_, ": zip: expected 1 to ", limits::kMaxZipEntries,
                 " entries, got ", directory.entries);
    ELBEAM_CHECK(directory.offset >= 0 && directory.size >= 0 &&
                     directory.offset <= directory_end - directory.size &&
                     directory.offset + directory.size == directory_end,
                 ErrorCode::kFormat, where_, ": zip: the directory (byte ", directory.offset, ", ",
                 directory.size, " bytes) does not end where the end record begins (byte ",
                 directory_end, ")");
    return directory;
  }

  Directory read_end64(std::int64_t locator, const Directory& plain) const {
    ByteReader reader = at(locator + 4, kLocator64Bytes - 4, "the zip64 locator");
    const auto disk = reader.read<std::uint32_t>("disk");
    const auto offset = reader.read<std::uint64_t>("offset");
    const auto disks = reader.read<std::uint32_t>("disks");
    ELBEAM_CHECK(
        disk == 0 && disks == 1 && offset == static_cast<std::uint64_t>(locator - kEnd64Bytes),
        ErrorCode::kFormat, where_,
        ": zip: the zip64 locator does not point at the record before it");
    ByteReader end = at(locator - kEnd64Bytes, kEnd64Bytes, "the zip64 end record");
    const auto signature = end.read<std::uint32_t>("signature");
    const auto bytes = end.read<std::uint64_t>("record size");
    ELBEAM_CHECK(
        signature == kEnd64Signature && bytes == static_cast<std::uint64_t>(kEnd64Bytes - 12),
        ErrorCode::kFormat, where_, ": zip: malformed zip64 end record");
    end.take(4, "versions");
    const auto disk_a = end.read<std::uint32_t>("disk");
    const auto disk_b = end.read<std::uint32_t>("disk");
    const auto entries_here = end.read_size("entries");
    Directory result;
    result.entries = end.read_size("entries");
    result.size = end.read_size("directory size");
    result.offset = end.read_size("directory offset");
    const auto agrees = [](std::int64_t field, std::int64_t value, std::int64_t see64) {
      return field == value || field == see64;
    };
    ELBEAM_CHECK(disk_a == 0 && disk_b == 0 && entries_here == result.entries &&
                     agrees(plain.entries, result.entries, 0xffff) &&
                     agrees(plain.size, result.size, kSee64) &&
                     agrees(plain.offset, result.offset, kSee64),
                 ErrorCode::kFormat, where_, ": zip: the two end records contradict each other");
    return result;
  }

  std::vector<Entry> read_directory(const Directory& directory) const {
    ByteReader reader(file_.subspan(0, usize(directory.offset + directory.size)), where_,
                      directory.offset);
    std::vector<Entry> entries;
    for (std::int64_t i = 0; i < directory.entries; ++i) entries.push_back(read_central(reader));
    ELBEAM_CHECK(reader.remaining() == 0, ErrorCode::kFormat, where_, ": zip: ", reader.remaining(),
                 " bytes after the last entry of the directory");
    return entries;
  }

  Entry read_central(ByteReader& reader) const {
    const std::int64_t begin = reader.position();
    ELBEAM_CHECK(reader.read<std::uint32_t>("signature") == kCentralSignature, ErrorCode::kFormat,
                 where_, ": zip: no directory entry at byte ", begin);
    reader.take(4, "versions");
    Entry entry;
    entry.flags = reader.read<std::uint16_t>("flags");
    entry.method = reader.read<std::uint16_t>("method");
    reader.take(4, "time");
    entry.crc = reader.read<std::uint32_t>("CRC");
    const auto stored = reader.read<std::uint32_t>("stored size");
    const auto size = reader.read<std::uint32_t>("size");
    const auto name_bytes = reader.read<std::uint16_t>("name length");
    const auto extra_bytes = reader.read<std::uint16_t>("extra length");
    const auto comment_bytes = reader.read<std::uint16_t>("comment length");
    const auto disk = reader.read<std::uint16_t>("disk");
    reader.take(6, "attributes");
    const auto local = reader.read<std::uint32_t>("offset");
    ELBEAM_CHECK(name_bytes <= limits::kMaxNameBytes, ErrorCode::kLimit, where_,
                 ": zip: the name at byte ", begin, " has ", name_bytes, " bytes, the limit is ",
                 limits::kMaxNameBytes);
    entry.name = reader.text(name_bytes, "name");
    const auto extra = reader.take(extra_bytes, "extra field");
    ELBEAM_CHECK(comment_bytes == 0 && disk == 0, ErrorCode::kFormat, where_, ": zip entry ",
                 quoted(entry.name), ": a comment or another disk");
    entry.stored = stored;
    entry.size = size;
    entry.local = local;
    read_extra64(extra, {stored == kSee64, size == kSee64, local == kSee64}, entry);
    ELBEAM_CHECK((entry.flags & ~(kFlagDescriptor | kFlagUtf8)) == 0, ErrorCode::kUnsupported,
                 where_, ": zip entry ", quoted(entry.name), ": unexpected flags ", entry.flags,
                 " (encrypted?)");
    return entry;
  }

  // The zip64 extra field holds, in this order, those of size, stored size and offset that are
  // marked.
  void read_extra64(std::span<const std::byte> extra, std::array<bool, 3> marked,
                    Entry& entry) const {
    const auto [stored64, size64, local64] = marked;
    entry.zip64 = stored64 || size64 || local64;
    const auto field = find_extra64(extra, entry.name);
    ELBEAM_CHECK(entry.zip64 == field.has_value(), ErrorCode::kFormat, where_, ": zip entry ",
                 quoted(entry.name), ": zip64 sizes are missing, or not called for");
    if (!entry.zip64) return;
    ByteReader values(*field, where_, 0, offset_of(*field));
    if (size64) entry.size = values.read_size("zip64 size");
    if (stored64) entry.stored = values.read_size("zip64 stored size");
    if (local64) entry.local = values.read_size("zip64 offset");
    ELBEAM_CHECK(values.remaining() == 0, ErrorCode::kFormat, where_, ": zip entry ",
                 quoted(entry.name), ": the zip64 field has ", values.remaining(),
                 " bytes too many");
  }

  // The zip64 field among the extra fields. The only other one that torch writes is its padding.
  std::optional<std::span<const std::byte>> find_extra64(std::span<const std::byte> extra,
                                                         std::string_view name) const {
    std::optional<std::span<const std::byte>> found;
    ByteReader reader(extra, where_, 0, offset_of(extra));
    while (reader.remaining() > 0) {
      const auto id = reader.read<std::uint16_t>("extra id");
      const auto field = reader.take(reader.read<std::uint16_t>("extra size"), "extra field");
      ELBEAM_CHECK(id == kPaddingId || (id == kZip64Id && !found), ErrorCode::kFormat, where_,
                   ": zip entry ", quoted(name), ": unexpected extra field ", id);
      if (id == kZip64Id) found = field;
    }
    return found;
  }

  // Reads the entry that has to begin at `position`; returns where the next one has to.
  std::int64_t read_local(Entry& entry, std::int64_t position) const {
    const std::string name = quoted(entry.name);
    ELBEAM_CHECK(entry.local == position, ErrorCode::kFormat, where_, ": zip entry ", name,
                 ": expected at byte ", position, ", the directory says ", entry.local,
                 " (gap or overlap)");
    ByteReader reader(file_, where_, position);
    ELBEAM_CHECK(reader.read<std::uint32_t>("signature") == kLocalSignature, ErrorCode::kFormat,
                 where_, ": zip entry ", name, ": no local header at byte ", position);
    reader.take(2, "version");
    const auto flags = reader.read<std::uint16_t>("flags");
    const auto method = reader.read<std::uint16_t>("method");
    reader.take(4, "time");
    const auto crc = reader.read<std::uint32_t>("CRC");
    const auto stored = reader.read<std::uint32_t>("stored size");
    const auto size = reader.read<std::uint32_t>("size");
    const auto name_bytes = reader.read<std::uint16_t>("name length");
    const auto extra_bytes = reader.read<std::uint16_t>("extra length");
    const std::string_view local_name = reader.text(name_bytes, "name");
    const auto extra64 = find_extra64(reader.take(extra_bytes, "extra field"), entry.name);
    const bool described = (flags & kFlagDescriptor) != 0;
    // Sizes in the local zip64 field come unpacked first, then stored.
    const auto sizes = extra64.value_or(file_.first(0));
    ByteReader values(sizes, where_, 0, offset_of(sizes));
    const auto agrees = [&](std::uint32_t field, std::int64_t value) {
      if (field == kSee64)
        return values.read<std::uint64_t>("zip64 size") == static_cast<std::uint64_t>(value);
      return field == value || (described && field == 0);
    };
    bool sizes_agree = agrees(size, entry.size) && agrees(stored, entry.stored);
    // Where a descriptor follows, torch writes wide values although nothing marks them, 0 for the
    // stored size.
    while (values.remaining() > 0) {
      const auto value = values.read<std::uint64_t>("zip64 value");
      sizes_agree = sizes_agree &&
                    (value == static_cast<std::uint64_t>(entry.size) ||
                     value == static_cast<std::uint64_t>(entry.local) || (described && value == 0));
    }
    ELBEAM_CHECK(local_name == entry.name && flags == entry.flags && method == entry.method &&
                     (crc == entry.crc || (described && crc == 0)) && sizes_agree,
                 ErrorCode::kFormat, where_, ": zip entry ", name,
                 ": the local header differs from the directory");
    entry.data = reader.take(entry.stored, "the entry's data");
    if (described) read_descriptor(reader, entry);
    return reader.position();
  }

  void read_descriptor(ByteReader& reader, const Entry& entry) const {
    const auto signature = reader.read<std::uint32_t>("data descriptor");
    const auto crc = reader.read<std::uint32_t>("CRC");
    // torch's miniz writes wide sizes wherever it needed a zip64 field, be it for the offset alone.
    const bool wide = entry.zip64;
    const auto field = [&]() -> std::int64_t {
      return wide ? reader.read_size("size") : reader.read<std::uint32_t>("size");
    };
    const std::int64_t stored = field();
    const std::int64_t size = field();
    ELBEAM_CHECK(signature == kDescriptorSignature && crc == entry.crc && stored == entry.stored &&
                     size == entry.size,
                 ErrorCode::kFormat, where_, ": zip entry ", quoted(entry.name),
                 ": the data descriptor differs from the directory");
  }

  void check_content(const Entry& entry) {
    const std::size_t slash = entry.name.find('/');
    const auto is_below = [&](std::string_view folder) {
      return slash != std::string::npos && entry.name.compare(slash, folder.size(), folder) == 0;
    };
    if (entry.method == kStored) {
      ELBEAM_CHECK(entry.stored == entry.size, ErrorCode::kFormat, where_, ": zip entry ",
                   quoted(entry.name), ": stored, with two different sizes");
      StoredEntry stored{entry.name, entry.data, entry.crc};
      if (check_ == DataCheck::kLater && is_below("/data/")) {
        unchecked_.push_back(std::move(stored));
      } else {
        check_stored(mapping_, stored);
      }
      return;
    }
    ELBEAM_CHECK(entry.method == kDeflated && is_below("/code/"), ErrorCode::kUnsupported, where_,
                 ": zip entry ", quoted(entry.name), ": compressed (method ", entry.method,
                 "); torch stores everything but code/");
    check_crc(inflated_crc(entry), entry.crc, where_, entry.name);
  }

  // Unpacks through a small buffer: the CRC is wanted, not the text.
  uLong inflated_crc(const Entry& entry) {
    ELBEAM_CHECK(entry.size <= limits::kMaxConfigBytes && entry.stored <= limits::kMaxConfigBytes &&
                     (code_bytes_ += entry.size) <= limits::kMaxConfigBytes,
                 ErrorCode::kLimit, where_, ": zip entry ", quoted(entry.name), ": ", entry.size,
                 " bytes of code, the limit for all of it is ", limits::kMaxConfigBytes);
    z_stream stream{};
    ELBEAM_CHECK(inflateInit2(&stream, -MAX_WBITS) == Z_OK, ErrorCode::kOutOfMemory,
                 "zlib: no memory");
    std::array<Bytef, 16384> buffer;
    // zlib's interface takes a mutable pointer; it does not write through it.
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(entry.data.data()));
    stream.avail_in = static_cast<uInt>(entry.data.size());
    uLong crc = 0;
    std::int64_t total = 0;
    int status = Z_OK;
    while (status == Z_OK && total <= entry.size) {
      stream.next_out = buffer.data();
      stream.avail_out = static_cast<uInt>(buffer.size());
      status = inflate(&stream, Z_NO_FLUSH);
      const std::size_t count = buffer.size() - stream.avail_out;
      crc = crc32_z(crc, buffer.data(), count);
      total += ssize(count);
    }
    const uInt unread = stream.avail_in;
    inflateEnd(&stream);
    ELBEAM_CHECK(status == Z_STREAM_END && total == entry.size && unread == 0,
                 ErrorCode::kIntegrity, where_, ": zip entry ", quoted(entry.name),
                 ": the compressed data is damaged");
    return crc;
  }

  const MappedFile& mapping_;
  std::span<const std::byte> file_;
  const std::string& where_;
  DataCheck check_;
  std::span<const std::byte> directory_;
  std::vector<StoredEntry> unchecked_;
  std::int64_t code_bytes_ = 0;  // unpacked so far
};

void check_name(const std::string& name, const std::string& where) {
  bool good = !name.empty() && name.front() != '/' && name.back() != '/' &&
              name.find("//") == std::string::npos;
  // The top folder is called like the file that torch wrote, which may have letters of any script.
  bool is_top = true;
  for (const char c : name) {
    is_top = is_top && c != '/';
    const bool is_ascii = c >= 0x20 && c < 0x7f;
    good = good && (is_ascii || (is_top && (c & 0x80) != 0)) && c != '\\' && c != ':';
  }
  for (std::size_t begin = 0; good && begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part(name.data() + begin, end - begin);
    good = part != "." && part != "..";
    begin = end + 1;
  }
  ELBEAM_CHECK(good, ErrorCode::kFormat, where, ": zip: unsafe entry name ", quoted(name));
}

}  // namespace

// Lets go of the bytes as it passes: most of a training checkpoint is the optimizer's, and not read
// again.
void check_stored(const MappedFile& file, const StoredEntry& entry) {
  std::uint32_t crc = 0;
  std::span<const std::byte> data = entry.data;
  while (!data.empty()) {
    const auto part = data.first(std::min(data.size(), kCrcStep));
    crc = crc32(crc, part);
    if (part.size() == kCrcStep) file.release(part);
    data = data.subspan(part.size());
  }
  check_crc(crc, entry.crc, file.path(), entry.name);
}

ZipIndex::ZipIndex(const MappedFile& file, DataCheck check) {
  const std::string& where = file.path();
  std::string top;
  Indexer indexer(file, check);
  const std::vector<Entry> all = indexer.run();
  directory_ = indexer.directory();
  unchecked_ = indexer.take_unchecked();
  for (const Entry& entry : all) {
    check_name(entry.name, where);
    const std::size_t slash = entry.name.find('/');
    ELBEAM_CHECK(slash != std::string::npos, ErrorCode::kFormat, where, ": zip entry ",
                 quoted(entry.name), ": not in a top folder");
    const std::string folder = entry.name.substr(0, slash);
    if (top.empty()) top = folder;
    ELBEAM_CHECK(folder == top, ErrorCode::kFormat, where, ": zip: entries in two top folders, ",
                 quoted(top), " and ", quoted(folder));
    const auto [it, fresh] = entries_.try_emplace(entry.name.substr(slash + 1), entry.data);
    ELBEAM_CHECK(fresh, ErrorCode::kFormat, where, ": zip: two entries are called ",
                 quoted(entry.name));
  }
  std::erase_if(entries_, [](const auto& entry) { return entry.first.starts_with("code/"); });
}

const std::span<const std::byte>* ZipIndex::find(std::string_view name) const noexcept {
  const auto it = entries_.find(name);
  return it == entries_.end() ? nullptr : &it->second;
}

}  // namespace elbeam::archive
