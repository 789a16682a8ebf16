// A text file that is read once from its beginning to its end, line by line or in pieces of whole
// lines, without ever being in memory as a whole.
#pragma once

#include "base/mapped_file.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::fairseq {

// Not thread-safe.
class TextFile {
 public:
  // Throws Error(kIo, kLimit).
  explicit TextFile(const std::string& path);

  const std::string& path() const noexcept { return file_.path(); }

  // A piece of whole lines and the number of its first line, from 1. Valid while the file is.
  struct Piece {
    std::string_view text;
    std::int64_t first_line = 1;
  };
  // The next pieces, at most `count` and each of about `bytes`; none at the end of the file. What
  // was returned before is given back to the system.
  std::vector<Piece> next_pieces(std::int64_t count, std::int64_t bytes);

 private:
  MappedFile file_;
  std::string_view content_;
  std::size_t position_ = 0;
  std::size_t released_ = 0;
  std::int64_t line_ = 1;
};

// Calls visit(line, number) for the lines of a piece as Python's text mode reads them: \n, \r and
// \r\n end one. Throws Error(kFormat) with file, line and byte for what is not UTF-8.
void for_each_line(const TextFile::Piece& piece, const std::string& path,
                   const std::function<void(std::string_view, std::int64_t)>& visit);

}  // namespace elbeam::fairseq
