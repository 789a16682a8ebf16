#include "fairseq_bridge/line_reader.hpp"

#include "base/check.hpp"
#include "base/limits.hpp"
#include "fairseq_bridge/interrupt.hpp"
#include "text/utf8.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace elbeam::fairseq {
namespace {

constexpr std::size_t kBlockBytes = 1 << 16;

}  // namespace

LineReader::LineReader(const std::string& path)
    : name_(path == "-" ? "standard input" : path),
      fd_(path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)),
      owned_(path != "-"),
      ends_(path == "-" ? "\n" : "\r\n") {
  ELBEAM_CHECK(fd_ >= 0, ErrorCode::kIo, path, ": cannot open: ", std::strerror(errno));
}

LineReader::~LineReader() {
  if (owned_) ::close(fd_);
}

// Appends what there is to read; false at the end.
bool LineReader::fill() {
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  const std::size_t size = buffer_.size();
  buffer_.resize(size + kBlockBytes);
  ssize_t got = 0;
  while ((got = ::read(fd_, buffer_.data() + size, kBlockBytes)) < 0) {
    ELBEAM_CHECK(errno == EINTR, ErrorCode::kIo, name_, ": cannot read: ", std::strerror(errno));
    ELBEAM_CHECK(interrupting_signal() == 0, ErrorCode::kInterrupted, name_,
                 ": interrupted while reading");
  }
  buffer_.resize(size + static_cast<std::size_t>(got));
  return got > 0;
}

std::string LineReader::take(std::size_t size, std::size_t end_size) {
  std::string line = buffer_.substr(begin_, size);
  begin_ += size + end_size;
  scanned_ = begin_;
  ++lines_;
  if (const auto offset = text::find_invalid_utf8(line)) {
    fail(ErrorCode::kFormat, name_, ": line ", lines_, ", byte ", *offset + 1, " is not UTF-8 (",
         quoted(std::string_view(line).substr(*offset, 4)), ")");
  }
  return line;
}

std::optional<std::string> LineReader::next() {
  for (;;) {
    if (after_return_ && begin_ < buffer_.size()) {
      after_return_ = false;
      if (buffer_[begin_] == '\n') scanned_ = ++begin_;
    }
    const std::size_t end = buffer_.find_first_of(ends_, scanned_);
    if (end != std::string::npos) {
      after_return_ = buffer_[end] == '\r';
      return take(end - begin_, 1);
    }
    scanned_ = buffer_.size();
    ELBEAM_CHECK(scanned_ - begin_ <= limits::kMaxLineBytes, ErrorCode::kLimit, name_, ": line ",
                 lines_ + 1, " has more than ", limits::kMaxLineBytes, " bytes");
    // A terminal's end must not be asked for twice.
    if (at_end_ || !fill()) {
      at_end_ = true;
      if (begin_ == buffer_.size()) return std::nullopt;
      return take(buffer_.size() - begin_, 0);
    }
  }
}

}  // namespace elbeam::fairseq
