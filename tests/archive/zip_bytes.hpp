// Zip files as torch writes them, field by field, and where each field went: tests break them.
#pragma once

#include "archive/python_bytes.hpp"

#include <zlib.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace elbeam::test {

inline std::string deflated(const std::string& text) {
  std::string out(text.size() + 1024, '\0');
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string in = text;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

struct ZipEntrySpec {
  std::string name;  // with the top folder
  std::string data;
  bool described = true;  // sizes and CRC follow the data, too, and are 0 before it
  bool compress = false;
  std::string extra{};  // of the local header
};

struct ZipOffsets {
  std::size_t local = 0, data = 0, descriptor = 0, central = 0;
};

struct ZipBytes {
  std::string bytes;
  std::map<std::string, ZipOffsets> at;  // by full name; of duplicates the last
  std::size_t directory = 0, end64 = 0, locator = 0, end = 0;

  template <typename T>
  ZipBytes& set(std::size_t offset, T value) {
    bytes.replace(offset, sizeof(T), py::raw(value));
    return *this;
  }
};

// Offsets of fields inside a local header, a directory entry and the end records.
namespace field {
inline constexpr std::size_t kLocalFlags = 6, kLocalMethod = 8, kLocalCrc = 14, kLocalStored = 18,
                             kLocalSize = 22, kLocalName = 30;
inline constexpr std::size_t kFlags = 8, kMethod = 10, kCrc = 16, kStored = 20, kSize = 24,
                             kExtraLength = 30, kCommentLength = 32, kDisk = 34, kOffset = 42,
                             kName = 46;
inline constexpr std::size_t kEndDisk = 4, kEndEntries = 10, kEndSize = 12, kEndOffset = 16,
                             kEndComment = 20;
inline constexpr std::size_t kEnd64RecordSize = 4, kEnd64EntriesHere = 24, kEnd64Entries = 32,
                             kEnd64Size = 40, kEnd64Offset = 48;
}  // namespace field

inline std::string fb_padding(std::size_t count) {
  return "FB" + py::raw(static_cast<std::uint16_t>(count)) + std::string(count, 'Z');
}

inline ZipBytes write_zip(const std::vector<ZipEntrySpec>& entries) {
  ZipBytes zip;
  std::string directory;
  std::vector<std::pair<std::string, std::size_t>> central;
  for (const ZipEntrySpec& entry : entries) {
    const std::string stored = entry.compress ? deflated(entry.data) : entry.data;
    const auto crc = static_cast<std::uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(entry.data.data()), entry.data.size()));
    const auto stored_size = static_cast<std::uint32_t>(stored.size());
    const auto size = static_cast<std::uint32_t>(entry.data.size());
    const auto name_size = static_cast<std::uint16_t>(entry.name.size());
    const auto flags = static_cast<std::uint16_t>(entry.described ? 0x0808 : 0x0800);
    const auto method = static_cast<std::uint16_t>(entry.compress ? 8 : 0);
    const std::string common = py::raw(flags) + py::raw(method) + std::string(4, '\0');
    ZipOffsets at;
    at.local = zip.bytes.size();
    zip.bytes += std::string("PK\x03\x04") + std::string(2, '\0') + common;
    zip.bytes += entry.described ? std::string(12, '\0')
                                 : py::raw(crc) + py::raw(stored_size) + py::raw(size);
    zip.bytes += py::raw(name_size) + py::raw(static_cast<std::uint16_t>(entry.extra.size()));
    zip.bytes += entry.name + entry.extra;
    at.data = zip.bytes.size();
    zip.bytes += stored;
    at.descriptor = zip.bytes.size();
    if (entry.described) {
      zip.bytes += std::string("PK\x07\x08") + py::raw(crc) + py::raw(stored_size) + py::raw(size);
    }
    at.central = directory.size();
    directory += std::string("PK\x01\x02") + std::string(4, '\0') + common + py::raw(crc) +
                 py::raw(stored_size) + py::raw(size) + py::raw(name_size) + std::string(12, '\0') +
                 py::raw(static_cast<std::uint32_t>(at.local)) + entry.name;
    zip.at[entry.name] = at;
  }
  zip.directory = zip.bytes.size();
  for (auto& [name, at] : zip.at) at.central += zip.directory;
  const auto count = static_cast<std::uint16_t>(entries.size());
  const auto bytes = static_cast<std::uint32_t>(directory.size());
  const auto offset = static_cast<std::uint32_t>(zip.directory);
  zip.bytes += directory;
  zip.end64 = zip.bytes.size();
  zip.bytes += std::string("PK\x06\x06") + py::raw(std::uint64_t{44}) + std::string(12, '\0') +
               py::raw(std::uint64_t{count}) + py::raw(std::uint64_t{count}) +
               py::raw(std::uint64_t{bytes}) + py::raw(std::uint64_t{offset});
  zip.locator = zip.bytes.size();
  zip.bytes += std::string("PK\x06\x07") + std::string(4, '\0') +
               py::raw(std::uint64_t{zip.end64}) + py::raw(std::uint32_t{1});
  zip.end = zip.bytes.size();
  zip.bytes += std::string("PK\x05\x06") + std::string(4, '\0') + py::raw(count) + py::raw(count) +
               py::raw(bytes) + py::raw(offset) + std::string(2, '\0');
  return zip;
}

}  // namespace elbeam::test
