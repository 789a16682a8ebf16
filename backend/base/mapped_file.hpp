// A read-only memory-mapped regular file.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace elbeam {

// Move-only owner of the mapping. Throws Error(kIo) when the path is missing, is not a regular
// file or cannot be read, and Error(kLimit) above limits::kMaxFileBytes. An empty file is legal and
// gives an empty span. Thread safety: const access from any thread. A file that another process
// truncates while it is mapped raises SIGBUS on access, as with every mmap reader.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const noexcept { return path_; }
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  // As it was when the file was opened.
  const struct stat& status() const noexcept { return status_; }

  // Says that a part of bytes() will not be read soon, so that it stops counting as this process's
  // memory. It stays readable. For those who pass over a whole file once.
  void release(std::span<const std::byte> part) const noexcept;

  // Says that all of it will be read: in pages as large as the file system has them.
  void expect_all() const noexcept;

 private:
  void unmap() noexcept;

  std::string path_;
  struct stat status_ {};
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace elbeam
