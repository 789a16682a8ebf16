// A file of named arrays that a program keeps for its own next start, to be mapped as it lies: what
// a model's weights were packed into.
//
// Layout, little-endian: a header of 64 bytes; the arrays, each at a multiple of 64; a JSON index
// with the key, and of each array its offset, bytes, CRC-32 and facts. The key says what the arrays
// were made of: a file with another key is not the one that was looked for.
#pragma once

#include "base/mapped_file.hpp"
#include "base/thread_pool.hpp"

#include <nlohmann/json.hpp>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace elbeam::archive {

inline constexpr std::int64_t kPackAlignment = 64;

struct PackEntry {
  nlohmann::json facts;  // the writer's own
  std::span<const std::byte> bytes;
};

// Immutable; entries view the mapped file. Every offset was checked, and the checksum of everything
// that is viewed.
class PackFile {
 public:
  // nullptr where there is no file or one with another key. Throws Error for one that must not be
  // used: kIo (cannot be read; others than its owner, the model's and root may change it), kFormat
  // and kIntegrity (not whole, damaged, something else).
  static std::shared_ptr<const PackFile> open(const std::string& path, const nlohmann::json& key,
                                              uid_t model_owner, ThreadPool& pool);

  const PackEntry* find(const std::string& name) const noexcept;

 private:
  explicit PackFile(MappedFile file) : file_(std::move(file)) {}

  MappedFile file_;
  std::map<std::string, PackEntry, std::less<>> entries_;
};

// Writes such a file beside the place where it belongs, and moves it there when it is whole; so
// readers and other writers never see a part. A failure of the file system ends the writing and is
// nobody's error: failure() says what happened. Not thread-safe.
class PackFileWriter {
 public:
  PackFileWriter(std::string path, nlohmann::json key);
  ~PackFileWriter();  // removes what is not whole
  PackFileWriter(const PackFileWriter&) = delete;
  PackFileWriter& operator=(const PackFileWriter&) = delete;

  // The first entry of a name counts.
  void add(const std::string& name, nlohmann::json facts, std::span<const std::byte> bytes);
  // On the disk and in its place, with these permissions (st_mode).
  void finish(mode_t mode);

  const std::string& failure() const noexcept { return failure_; }

 private:
  void append(std::span<const std::byte> bytes);
  void flush();
  bool write_at(std::span<const std::byte> bytes, std::int64_t offset);
  void give_up(const std::string& what);

  std::string path_;
  std::string temporary_;  // empty: none, or moved to its place
  int fd_ = -1;
  nlohmann::json index_;
  std::string failure_;
  std::vector<std::byte> buffer_;  // what follows the bytes that were written
  std::int64_t written_ = 0;
};

}  // namespace elbeam::archive
