#include "eval/sorted_texts.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <tuple>

namespace elbeam::eval {
namespace {

constexpr std::size_t kReadAhead = std::size_t{1} << 15;

// Without a name: it goes with the process, however that ends.
int unnamed_file(const std::string& folder) {
  const int file = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) return file;
  std::string name = folder + "/elbeam-XXXXXX";
  const int named = mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) unlink(name.c_str());
  return named;
}

}  // namespace

SortedTexts::~SortedTexts() {
  if (file_ >= 0) close(file_);
}

bool SortedTexts::less(const Header& a, const Header& b) noexcept {
  return std::tie(a.id, a.kind, a.line) < std::tie(b.id, b.kind, b.line);
}

void SortedTexts::add(const NumberedText& text) {
  ELBEAM_INVARIANT(!merging_);
  const std::size_t size = (entries_.size() + 1) * sizeof(Entry) + letters_.size();
  if (!entries_.empty() && size + text.text.size() > memory_) write_piece();
  const Header header{text.id, text.line, static_cast<std::uint32_t>(text.text.size()),
                      static_cast<unsigned char>(text.kind)};
  entries_.push_back({header, letters_.size()});
  letters_.append(text.text);
}

void SortedTexts::sort() {
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return less(a.header, b.header); });
}

void SortedTexts::open_file() {
  const char* const wanted = std::getenv("TMPDIR");
  folder_ = wanted != nullptr && *wanted != '\0' ? wanted : "/tmp";
  file_ = unnamed_file(folder_);
  ELBEAM_CHECK(file_ >= 0, ErrorCode::kIo, "cannot make a temporary file in ", quoted(folder_),
               " (TMPDIR names another folder): ", std::strerror(errno));
}

void SortedTexts::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    ELBEAM_CHECK(written > 0, ErrorCode::kIo, "cannot write a temporary file in ", quoted(folder_),
                 " (TMPDIR names another folder): ", std::strerror(errno));
    file_size_ += written;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void SortedTexts::write_piece() {
  if (file_ < 0) open_file();
  sort();
  pieces_.emplace_back().offset = file_size_;
  std::string block;
  for (const Entry& entry : entries_) {
    block.append(reinterpret_cast<const char*>(&entry.header), sizeof(Header));
    block.append(letters_, entry.begin, entry.header.size);
    if (block.size() < kReadAhead) continue;
    write(block);
    block.clear();
  }
  write(block);
  pieces_.back().end = file_size_;
  entries_.clear();
  letters_.clear();
}

// Makes the buffer hold that many bytes from `begin` on.
void SortedTexts::fill(Piece& piece, std::size_t bytes) {
  std::size_t size = piece.buffer.size() - piece.begin;
  if (size >= bytes) return;
  piece.buffer.erase(0, piece.begin);
  piece.begin = 0;
  const auto left = static_cast<std::size_t>(piece.end - piece.offset);
  const std::size_t wanted = size + std::min(left, std::max(bytes - size, kReadAhead));
  piece.buffer.resize(wanted);
  while (size < wanted) {
    const ssize_t got = pread(file_, piece.buffer.data() + size, wanted - size, piece.offset);
    if (got < 0 && errno == EINTR) continue;
    ELBEAM_CHECK(got > 0, ErrorCode::kIo, "cannot read a temporary file in ", quoted(folder_), ": ",
                 got < 0 ? std::strerror(errno) : "it has become shorter");
    size += static_cast<std::size_t>(got);
    piece.offset += got;
  }
  ELBEAM_INVARIANT(size >= bytes);
}

bool SortedTexts::load(Piece& piece) {
  if (piece.begin == piece.buffer.size() && piece.offset == piece.end) return false;
  fill(piece, sizeof(Header));
  std::memcpy(&piece.head, piece.buffer.data() + piece.begin, sizeof(Header));
  fill(piece, sizeof(Header) + piece.head.size);
  return true;
}

void SortedTexts::start_merging() {
  merging_ = true;
  if (pieces_.empty()) return sort();
  if (!entries_.empty()) write_piece();
  std::string().swap(letters_);
  std::vector<Entry>().swap(entries_);
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (load(pieces_[i])) heap_.push_back(i);
  }
  const auto after = [this](std::size_t a, std::size_t b) {
    return less(pieces_[b].head, pieces_[a].head);
  };
  std::make_heap(heap_.begin(), heap_.end(), after);
}

bool SortedTexts::next(NumberedText& text) {
  const auto give = [&text](const Header& header, std::string_view letters) {
    text = {header.id, static_cast<char>(header.kind), header.line, letters};
    return true;
  };
  if (!merging_) {
    start_merging();
  } else if (!heap_.empty()) {  // the one in front has been given
    const auto after = [this](std::size_t a, std::size_t b) {
      return less(pieces_[b].head, pieces_[a].head);
    };
    std::pop_heap(heap_.begin(), heap_.end(), after);
    Piece& piece = pieces_[heap_.back()];
    piece.begin += sizeof(Header) + piece.head.size;
    if (load(piece)) {
      std::push_heap(heap_.begin(), heap_.end(), after);
    } else {
      std::string().swap(piece.buffer);
      piece.begin = 0;
      heap_.pop_back();
    }
  }
  if (!heap_.empty()) {
    const Piece& piece = pieces_[heap_.front()];
    return give(
        piece.head,
        std::string_view(piece.buffer).substr(piece.begin + sizeof(Header), piece.head.size));
  }
  if (given_ == entries_.size()) return false;
  const Entry& entry = entries_[given_++];
  return give(entry.header, std::string_view(letters_).substr(entry.begin, entry.header.size));
}

}  // namespace elbeam::eval
