#include "fairseq_bridge/output_file.hpp"

#include "base/check.hpp"
#include "fairseq_bridge/interrupt.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

namespace elbeam::fairseq {

OutputFile::OutputFile(std::string name, int fd, bool owned)
    : name_(std::move(name)), fd_(fd), owned_(owned) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : name_(std::move(other.name_)),
      fd_(other.fd_),
      owned_(std::exchange(other.owned_, false)),
      pending_(std::move(other.pending_)) {}

OutputFile::~OutputFile() {
  if (owned_) ::close(fd_);
}

OutputFile OutputFile::standard_output() { return {"standard output", STDOUT_FILENO, false}; }
OutputFile OutputFile::standard_error() { return {"standard error", STDERR_FILENO, false}; }

OutputFile OutputFile::create(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  ELBEAM_CHECK(fd >= 0, ErrorCode::kIo, path, ": cannot create: ", std::strerror(errno));
  return {path, fd, true};
}

void OutputFile::flush() {
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) {
      // A reader that has stopped reading must not keep the process from ending.
      ELBEAM_CHECK(interrupting_signal() == 0, ErrorCode::kInterrupted, name_,
                   ": interrupted while writing");
      continue;
    }
    ELBEAM_CHECK(written > 0, ErrorCode::kIo, name_, ": cannot write: ", std::strerror(errno));
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  pending_.clear();
}

void ignore_broken_pipes() noexcept { std::signal(SIGPIPE, SIG_IGN); }

}  // namespace elbeam::fairseq
