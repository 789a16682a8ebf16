// Lines of text as they arrive, from a file, a pipe or a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace elbeam::fairseq {

// Not thread-safe. Holds one line and one block of input, however long the input is.
class LineReader {
 public:
  // "-" is standard input. Throws Error(kIo).
  explicit LineReader(const std::string& path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // The next line without its end; nothing at the end of the input. As in Python's text mode a line
  // of a file ends with \n, \r or \r\n, and one of standard input with \n alone. Returns a line as
  // soon as its end has been read. Throws Error: kIo; kFormat, with line and byte, for bytes that
  // are not UTF-8; kLimit for a line above limits::kMaxLineBytes; kInterrupted for a signal that
  // came while it waited.
  std::optional<std::string> next();

  const std::string& name() const noexcept { return name_; }
  std::int64_t lines() const noexcept { return lines_; }  // returned so far

 private:
  bool fill();
  std::string take(std::size_t size, std::size_t end_size);

  std::string name_;  // for messages
  int fd_;
  bool owned_;
  const char* ends_;  // bytes that end a line
  std::string buffer_;
  std::size_t begin_ = 0;      // of the next line in buffer_
  std::size_t scanned_ = 0;    // there is no line end in [begin_, scanned_)
  bool after_return_ = false;  // a \n that follows belongs to the \r of the last line
  bool at_end_ = false;
  std::int64_t lines_ = 0;
};

}  // namespace elbeam::fairseq
