#include "fairseq_bridge/text_file.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "text/utf8.hpp"

#include <algorithm>

namespace elbeam::fairseq {
namespace {

// Just behind the end of the line that starts at or before `position`.
std::size_t end_of_line(std::string_view text, std::size_t position) {
  const std::size_t end = text.find_first_of("\r\n", position);
  if (end == std::string_view::npos) return text.size();
  return end + (text.substr(end, 2) == "\r\n" ? 2 : 1);
}

std::int64_t count_lines(std::string_view text) {
  std::int64_t lines = 0;
  for (std::size_t i = 0; i < text.size(); i = end_of_line(text, i)) ++lines;
  return lines;
}

}  // namespace

TextFile::TextFile(const std::string& path)
    : file_(path),
      content_(reinterpret_cast<const char*>(file_.bytes().data()), file_.bytes().size()) {}

std::vector<TextFile::Piece> TextFile::next_pieces(std::int64_t count, std::int64_t bytes) {
  file_.release(file_.bytes().subspan(released_, position_ - released_));
  released_ = position_;
  std::vector<Piece> pieces;
  while (ssize(pieces.size()) < count && position_ < content_.size()) {
    const std::size_t wanted = std::min(content_.size() - position_, usize(bytes));
    const std::size_t end = end_of_line(content_, position_ + wanted - 1);
    const std::string_view text = content_.substr(position_, end - position_);
    pieces.push_back({text, line_});
    line_ += count_lines(text);
    position_ = end;
  }
  return pieces;
}

void for_each_line(const TextFile::Piece& piece, const std::string& path,
                   const std::function<void(std::string_view, std::int64_t)>& visit) {
  std::int64_t number = piece.first_line;
  for (std::size_t begin = 0; begin < piece.text.size(); ++number) {
    const std::size_t end = std::min(piece.text.find_first_of("\r\n", begin), piece.text.size());
    const std::string_view line = piece.text.substr(begin, end - begin);
    const auto invalid = text::find_invalid_utf8(line);
    ELBEAM_CHECK(!invalid, ErrorCode::kFormat, path, ":", number, ": byte ", invalid.value_or(0),
                 " of the line is not UTF-8: ", quoted(line.substr(invalid.value_or(0)), 8));
    visit(line, number);
    begin = end_of_line(piece.text, end);
  }
}

}  // namespace elbeam::fairseq
