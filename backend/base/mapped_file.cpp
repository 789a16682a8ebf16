#include "base/mapped_file.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace elbeam {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a FIFO by mistake must give an error, not hang.
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  ELBEAM_CHECK(fd.get() >= 0, ErrorCode::kIo, path, ": cannot open: ", std::strerror(errno));
  ELBEAM_CHECK(::fstat(fd.get(), &status_) == 0, ErrorCode::kIo, path,
               ": cannot stat: ", std::strerror(errno));
  ELBEAM_CHECK(S_ISREG(status_.st_mode), ErrorCode::kIo, path, ": not a regular file");
  ELBEAM_CHECK(status_.st_size <= limits::kMaxFileBytes, ErrorCode::kLimit, path, ": file has ",
               status_.st_size, " bytes, the limit is ", limits::kMaxFileBytes);
  size_ = usize(status_.st_size);
  if (size_ == 0) return;
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (data == MAP_FAILED) {
    const int cause = errno;
    size_ = 0;
    fail(cause == ENOMEM ? ErrorCode::kOutOfMemory : ErrorCode::kIo, path,
         ": cannot map: ", std::strerror(cause));
  }
  data_ = static_cast<const std::byte*>(data);
}

MappedFile::~MappedFile() { unmap(); }

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      status_(other.status_),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    path_ = std::move(other.path_);
    status_ = other.status_;
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void MappedFile::release(std::span<const std::byte> part) const noexcept {
  if (part.empty()) return;
  // Whole pages only, rounded inwards: neighbours may be in use. A failure costs memory, no more.
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto offset = static_cast<std::size_t>(part.data() - data_);
  const std::size_t begin = (offset + page - 1) / page * page;
  const std::size_t end = (offset + part.size()) / page * page;
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

void MappedFile::expect_all() const noexcept {
  // A hint: without it the pages are those of 4 KiB on most systems.
  if (size_ > 0) ::madvise(const_cast<std::byte*>(data_), size_, MADV_HUGEPAGE);
}

void MappedFile::unmap() noexcept {
  // munmap takes a mutable pointer; the mapping itself stays read-only.
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  data_ = nullptr;
}

}  // namespace elbeam
