// Texts put into the order of their ids, more of them than memory should hold.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::eval {

// A text of fairseq's output. They are ordered by id, kind and line.
struct NumberedText {
  std::int64_t id = 0;
  char kind = 0;
  std::int64_t line = 0;  // where it stands
  std::string_view text;
};

// First add() all, then next() until it is false. What goes beyond `memory` bytes is sorted piece
// by piece into a file without a name, in the folder for temporary files (TMPDIR), and merged from
// there: memory stays at about that number of bytes and 0.4 % of the texts' size. Not thread-safe.
class SortedTexts {
 public:
  explicit SortedTexts(std::size_t memory = std::size_t{8} << 20) : memory_(memory) {}
  ~SortedTexts();
  SortedTexts(const SortedTexts&) = delete;
  SortedTexts& operator=(const SortedTexts&) = delete;

  void add(const NumberedText& text);  // Error(kIo): the temporary file
  // The text is valid until the next call. Error(kIo).
  bool next(NumberedText& text);

 private:
  struct Header {  // what stands before each text in the file
    std::int64_t id = 0;
    std::int64_t line = 0;
    std::uint32_t size = 0;
    std::uint32_t kind = 0;
  };
  struct Entry {
    Header header;
    std::size_t begin = 0;  // in letters_
  };
  struct Piece {              // of the file, sorted
    std::int64_t offset = 0;  // of what has not been read
    std::int64_t end = 0;
    std::string buffer;
    std::size_t begin = 0;  // of `head` in the buffer
    Header head;
  };

  static bool less(const Header& a, const Header& b) noexcept;

  void sort();
  void write_piece();
  void open_file();
  void write(std::string_view bytes);
  void start_merging();
  bool load(Piece& piece);  // the piece's next head; false at its end
  void fill(Piece& piece, std::size_t bytes);

  std::size_t memory_;
  std::string letters_;
  std::vector<Entry> entries_;
  int file_ = -1;
  std::string folder_;
  std::int64_t file_size_ = 0;
  std::vector<Piece> pieces_;
  std::vector<std::size_t> heap_;  // of pieces, the least head in front
  bool merging_ = false;
  std::size_t given_ = 0;  // of entries_ when all are in memory
};

}  // namespace elbeam::eval
