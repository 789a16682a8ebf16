#include "eval/line_source.hpp"

#include "base/check.hpp"
#include "text/utf8.hpp"

#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>

namespace elbeam::eval {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 16;
constexpr std::size_t kMaxLineBytes = std::size_t{1} << 30;

gzFile open_file(const std::string& path) {
  if (path == "-") {
    const int copy = dup(STDIN_FILENO);
    ELBEAM_CHECK(copy >= 0, ErrorCode::kIo, "standard input is closed");
    return gzdopen(copy, "rb");
  }
  struct stat status {};
  ELBEAM_CHECK(stat(path.c_str(), &status) == 0, ErrorCode::kIo, "cannot open ", quoted(path), ": ",
               std::strerror(errno));
  ELBEAM_CHECK(!S_ISDIR(status.st_mode), ErrorCode::kIo, "cannot read ", quoted(path),
               ": it is a folder");
  gzFile file = gzopen(path.c_str(), "rb");
  ELBEAM_CHECK(file != nullptr, ErrorCode::kIo, "cannot open ", quoted(path), ": ",
               std::strerror(errno));
  return file;
}

}  // namespace

LineSource::LineSource(const std::string& path)
    : name_(path == "-" ? "standard input" : path), file_(open_file(path)) {
  ELBEAM_CHECK(file_ != nullptr, ErrorCode::kOutOfMemory, "cannot open ", quoted(name_));
  gzbuffer(file_, kBlock);
}

LineSource::~LineSource() { gzclose_r(file_); }

bool LineSource::fill() {
  if (at_end_) return false;
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  const std::size_t size = buffer_.size();
  ELBEAM_CHECK(size < kMaxLineBytes, ErrorCode::kLimit, name_, ": line ", lines_ + 1,
               " is longer than ", kMaxLineBytes, " bytes");
  buffer_.resize(size + kBlock);
  const int got = gzread(file_, buffer_.data() + size, static_cast<unsigned>(kBlock));
  buffer_.resize(size + static_cast<std::size_t>(got > 0 ? got : 0));
  int code = Z_OK;
  const char* message = gzerror(file_, &code);
  if (code == Z_ERRNO)
    fail(ErrorCode::kIo, "cannot read ", quoted(name_), ": ", std::strerror(errno));
  ELBEAM_CHECK(code != Z_BUF_ERROR, ErrorCode::kIntegrity, name_,
               ": the compressed file breaks off after line ", lines_);
  ELBEAM_CHECK(code == Z_OK || code == Z_STREAM_END, ErrorCode::kIntegrity, name_, " after line ",
               lines_, ": ", message);
  at_end_ = got == 0;
  return !at_end_;
}

bool LineSource::next(std::string_view& line) {
  std::size_t end = buffer_.find('\n', scanned_);
  while (end == std::string::npos) {
    scanned_ = buffer_.size();
    if (!fill()) break;
    end = buffer_.find('\n', scanned_);
  }
  if (end == std::string::npos) {
    if (begin_ == buffer_.size()) return false;
    end = buffer_.size();
  }
  line = std::string_view(buffer_).substr(begin_, end - begin_);
  begin_ = scanned_ = std::min(end + 1, buffer_.size());
  ++lines_;
  if (const auto invalid = text::find_invalid_utf8(line)) {
    fail(ErrorCode::kFormat, name_, ":", lines_, ": byte ", *invalid + 1,
         " of the line is not UTF-8: ", quoted(line.substr(*invalid, 8)));
  }
  return true;
}

std::string_view LineSource::peek(std::size_t bytes) {
  while (buffer_.size() - begin_ < bytes && fill()) {
  }
  return std::string_view(buffer_).substr(begin_, bytes);
}

}  // namespace elbeam::eval
