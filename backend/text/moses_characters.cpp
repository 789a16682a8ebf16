#include "text/moses.hpp"

#include <algorithm>
#include <iterator>
#include <span>

namespace elbeam::text {
namespace {

struct CharacterRange {
  char32_t first;
  char32_t last;
};

#include "text/moses_characters.inc"

// sacremoses/util.py: CJKChars
constexpr CharacterRange kCjk[] = {{0x1100, 0x11ff},   {0x2e80, 0xa4cf},   {0xa840, 0xa87f},
                                   {0xac00, 0xd7af},   {0xf900, 0xfaff},   {0xfe30, 0xfe4f},
                                   {0xff65, 0xffdc},   {0x17000, 0x18aff}, {0x1b000, 0x1b12f},
                                   {0x1b170, 0x1b2ff}, {0x20000, 0x2ffff}};

bool contains(std::span<const CharacterRange> ranges, char32_t character) noexcept {
  const auto after = std::upper_bound(
      ranges.begin(), ranges.end(), character,
      [](char32_t value, const CharacterRange& range) { return value < range.first; });
  return after != ranges.begin() && character <= std::prev(after)->last;
}

std::span<const CharacterRange> ranges_of(MosesClass character_class) noexcept {
  switch (character_class) {
    case MosesClass::kTokenizerAlnum:
      return kTokenizerAlnum;
    case MosesClass::kTokenizerAlpha:
      return kTokenizerAlpha;
    case MosesClass::kNumber:
      return kNumber;
    case MosesClass::kLower:
      return kLower;
    case MosesClass::kDetokenizerAlpha:
      return kDetokenizerAlpha;
    case MosesClass::kCurrency:
      return kCurrency;
    case MosesClass::kHangul:
      return kHangul;
    case MosesClass::kHan:
      return kHan;
    case MosesClass::kHiragana:
      return kHiragana;
    case MosesClass::kKatakana:
      return kKatakana;
  }
  return {};
}

}  // namespace

bool is_in(MosesClass character_class, char32_t character) noexcept {
  return contains(ranges_of(character_class), character);
}

bool is_cjk(char32_t character) noexcept { return contains(kCjk, character); }

}  // namespace elbeam::text
