// Lines of a file, plain or compressed with gzip.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

struct gzFile_s;

namespace elbeam::eval {

// Not thread-safe. A line ends at \n and nothing else, as in sacrebleu.
class LineSource {
 public:
  explicit LineSource(const std::string& path);  // "-" is standard input
  ~LineSource();
  LineSource(const LineSource&) = delete;
  LineSource& operator=(const LineSource&) = delete;

  // The next line without its end, valid until the next call of a function; false at the end.
  // Throws Error: kIo, kIntegrity, kLimit, and kFormat for bytes that are not UTF-8.
  bool next(std::string_view& line);

  // What lies ahead, at most `bytes` of it, without taking it.
  std::string_view peek(std::size_t bytes);

  const std::string& name() const noexcept { return name_; }
  std::int64_t line_number() const noexcept { return lines_; }  // of the last line, from 1

 private:
  bool fill();

  std::string name_;
  gzFile_s* file_ = nullptr;
  std::string buffer_;
  std::size_t begin_ = 0;    // of the next line
  std::size_t scanned_ = 0;  // there is no line end before this
  bool at_end_ = false;
  std::int64_t lines_ = 0;
};

}  // namespace elbeam::eval
