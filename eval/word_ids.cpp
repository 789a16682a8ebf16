#include "eval/word_ids.hpp"

#include "text/python_string.hpp"
#include "text/utf8.hpp"

#include <algorithm>
#include <array>

namespace elbeam::eval {
namespace {

// White space below 0x80, as text::is_space().
constexpr std::array<bool, 256> kAsciiSpace = [] {
  std::array<bool, 256> table{};
  for (unsigned c = 0x09; c <= 0x0d; ++c) table[c] = true;
  for (unsigned c = 0x1c; c <= 0x20; ++c) table[c] = true;
  return table;
}();

constexpr std::size_t kBlock = std::size_t{1} << 14;  // bytes of words that are kept together

std::uint64_t load(const char* bytes, std::size_t count) noexcept {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes, count);
  return value;
}

}  // namespace

WordIds::Tag WordIds::tag_of(std::string_view word) noexcept {
  const std::size_t size = word.size();
  if (size >= kShort) return tag_of_long(word);
  Tag bytes = 0;
  if (size >= 4) {  // two halves that may overlap
    bytes = load(word.data(), 4) | load(word.data() + size - 4, 4) << 8 * (size - 4);
  } else if (size > 0) {
    bytes = load(word.data(), 1) | load(word.data() + size / 2, 1) << 8 * (size / 2) |
            load(word.data() + size - 1, 1) << 8 * (size - 1);
  }
  return bytes | Tag{size} << 56;
}

WordIds::Tag WordIds::tag_of_long(std::string_view word) noexcept {
  std::uint64_t hash = word.size();
  const auto mix = [&hash](std::uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
    hash ^= hash >> 32;
  };
  const char* const last = word.data() + word.size() - 8;
  for (const char* bytes = word.data(); bytes < last; bytes += 8) mix(load(bytes, 8));
  mix(load(last, 8));
  return hash | kLong;
}

void WordIds::clear() {
  constexpr std::size_t kManyWords = std::size_t{1} << 16;
  size_ = 0;
  if (letters_.size() > 1) letters_.clear();
  block_ = letters_.empty() ? nullptr : letters_.front().get();
  left_ = letters_.empty() ? 0 : kBlock;
  if (++epoch_ != 0 && words_.size() <= kManyWords) return;
  words_.assign(kFewWords, {});
  slots_.assign(kFewWords * kSlotsPerWord, {});
  epoch_ = 1;
}

void WordIds::grow() {
  words_.resize(words_.size() * 2);
  slots_.assign(words_.size() * kSlotsPerWord, {});
  const Table grown = table();
  for (std::uint32_t i = 0; i < size_; ++i) {
    std::size_t place = grown.place_of(words_[i].tag);
    while (grown.slots[place].epoch == epoch_) place = (place + 1) & grown.mask;
    grown.slots[place] = {words_[i].tag, i, epoch_};
  }
}

std::string_view WordIds::keep(std::string_view word) {
  if (word.size() > left_) {
    left_ = std::max(kBlock, word.size());
    letters_.push_back(std::make_unique_for_overwrite<char[]>(left_));
    block_ = letters_.back().get();
  }
  char* const place = block_;
  std::copy(word.begin(), word.end(), place);
  block_ += word.size();
  left_ -= word.size();
  return {place, word.size()};
}

void WordIds::find_padded(const char* letters, const std::size_t* edges,
                          std::span<std::uint32_t> ids) {
  Table now = table();
  for (std::uint32_t& id : ids) {
    const std::string_view word(letters + edges[0], edges[1] - edges[0]);
    id = find_or_add(tag_of_padded(word), word, now);
    if (now.mask + 1 != slots_.size()) now = table();
    edges += 2;
  }
}

void WordIds::split(std::string_view line, std::vector<std::uint32_t>& ids) {
  ids.clear();
  std::size_t word = 0;  // where it begins
  for (std::size_t i = 0; i < line.size();) {
    const auto byte = static_cast<unsigned char>(line[i]);
    std::size_t length = 1;
    bool space = kAsciiSpace[byte];
    if (byte >= 0x80) {
      const text::Utf8Unit unit = text::utf8_unit(line, i);
      length = unit.length;
      space = unit.valid && text::is_space(unit.code_point);
    }
    if (space) {
      if (i > word) ids.push_back(id(line.substr(word, i - word)));
      word = i + length;
    }
    i += length;
  }
  if (word < line.size()) ids.push_back(id(line.substr(word)));
}

}  // namespace elbeam::eval
