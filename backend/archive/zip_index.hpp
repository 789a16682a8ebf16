// A strict index of a zip file as torch writes it.
#pragma once

#include "archive/data_check.hpp"
#include "base/mapped_file.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::archive {

// An entry's bytes and what their checksum has to be.
struct StoredEntry {
  std::string name;
  std::span<const std::byte> data;
  std::uint32_t crc = 0;
};

// Throws Error(kIntegrity) where the checksum is another one.
void check_stored(const MappedFile& file, const StoredEntry& entry);

// Finds each entry's bytes inside the mapped file. Refused, because torch never writes it and every
// one of them has been an attack or hid a damaged file: compressed entries (but for TorchScript's
// own code/, which torch deflates), several top folders, names with "..", empty parts or characters
// outside printable ASCII, duplicates, encryption, a local header or data descriptor that differs
// from the central directory, gaps, overlaps, bytes before the first entry or after the end record,
// a wrong CRC-32. Immutable; entries view the file's bytes and must not outlive them.
class ZipIndex {
 public:
  // Throws Error: kFormat, kIntegrity, kLimit, kUnsupported.
  explicit ZipIndex(const MappedFile& file, DataCheck check = DataCheck::kNow);

  // By name below the top folder ("data.pkl", "data/0"); nullptr if absent. Entries under code/ are
  // checked and not listed: nothing here reads programs.
  const std::span<const std::byte>* find(std::string_view name) const noexcept;
  const std::map<std::string, std::span<const std::byte>, std::less<>>& entries() const noexcept {
    return entries_;
  }
  // What check_stored() is still to be called for.
  const std::vector<StoredEntry>& unchecked() const noexcept { return unchecked_; }
  // The central directory: names, sizes and checksums of all entries.
  std::span<const std::byte> directory() const noexcept { return directory_; }

 private:
  std::vector<StoredEntry> unchecked_;
  std::span<const std::byte> directory_;
  std::map<std::string, std::span<const std::byte>, std::less<>> entries_;
};

}  // namespace elbeam::archive
