// Words as numbers, so that they compare fast.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace elbeam::eval {

// Equal words, equal numbers, counted from 0. A table of few words lies in the fastest memory, and
// no branch depends on whether a word was met before. Not thread-safe.
class WordIds {
 public:
  // Bytes that find_padded() may read behind the beginning of a word.
  static constexpr std::size_t kPadding = 8;

  void clear();  // numbers begin again
  std::uint32_t id(std::string_view word) { return find_or_add(tag_of(word), word, table()); }
  // The same for many words, none of them empty: word i lies from edges[2 * i] to edges[2 * i + 1]
  // behind `letters`, with kPadding bytes from its beginning on in the buffer, which are loaded at
  // once. ids[i] becomes its number.
  void find_padded(const char* letters, const std::size_t* edges, std::span<std::uint32_t> ids);
  // Replaces `ids` by those of the line's words (str.split()).
  void split(std::string_view line, std::vector<std::uint32_t>& ids);

 private:
  // Stands for a word. Of short ones (below kShort bytes) it is the bytes themselves and their
  // number, so equal tags are equal words; longer ones have kLong set and a hash.
  using Tag = std::uint64_t;
  static constexpr std::size_t kShort = 8;
  static constexpr Tag kLong = Tag{1} << 63;

  struct Slot {
    Tag tag = 0;
    std::uint32_t id = 0;
    std::uint32_t epoch = 0;  // another than epoch_: the slot is empty
  };
  struct Word {
    Tag tag = 0;
    std::string_view letters;  // of long ones
  };

  static Tag tag_of(std::string_view word) noexcept;
  static Tag tag_of_padded(std::string_view word) noexcept {
    static_assert(std::endian::native == std::endian::little);
    if (word.size() >= kShort) return tag_of_long(word);
    Tag bytes = 0;
    std::memcpy(&bytes, word.data(), sizeof(bytes));
    const std::size_t unused = 64 - 8 * word.size();
    return bytes << unused >> unused | Tag{word.size()} << 56;
  }
  static Tag tag_of_long(std::string_view word) noexcept;

  // What a loop over words need not load again for each; good until the table grows.
  struct Table {
    Slot* slots = nullptr;
    std::size_t mask = 0;
    std::uint32_t epoch = 0;

    std::size_t place_of(Tag tag) const noexcept {
      const std::uint64_t product = tag * 0x9e3779b97f4a7c15ULL;
      return (product ^ product >> 32) & mask;
    }
  };
  Table table() noexcept { return {slots_.data(), slots_.size() - 1, epoch_}; }

  std::uint32_t find_or_add(Tag tag, std::string_view word, const Table& table) {
    for (std::size_t place = table.place_of(tag);; place = (place + 1) & table.mask) {
      Slot& slot = table.slots[place];
      const bool fresh = slot.epoch != table.epoch;
      if (!fresh && slot.tag != tag) continue;
      if ((tag & kLong) != 0) {
        if (!fresh && words_[slot.id].letters != word) continue;
        if (fresh) words_[size_].letters = keep(word);
      }
      const std::uint32_t id = fresh ? size_ : slot.id;
      slot = {tag, id, table.epoch};
      words_[id].tag = tag;
      size_ += fresh ? 1 : 0;
      if (size_ == words_.size()) grow();
      return id;
    }
  }

  void grow();
  std::string_view keep(std::string_view word);

  static constexpr std::size_t kFewWords = 64;
  static constexpr std::size_t kSlotsPerWord = 4;

  std::vector<Slot> slots_ = std::vector<Slot>(kFewWords * kSlotsPerWord);  // open addressing
  std::vector<Word> words_ = std::vector<Word>(kFewWords);  // in the order of their numbers
  std::uint32_t epoch_ = 1;
  std::uint32_t size_ = 0;                        // numbers given since clear()
  std::vector<std::unique_ptr<char[]>> letters_;  // what the words point to
  char* block_ = nullptr;                         // where the last block is free,
  std::size_t left_ = 0;                          // and how many bytes
};

}  // namespace elbeam::eval
