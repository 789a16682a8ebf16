// The parts of the moses tokenizer. Internal to the module; texts are code points here, because
// its rules look at characters and their neighbours.
#pragma once

#include "text/encoder.hpp"
#include "text/tokenizer.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::text {

std::unique_ptr<Encoder> make_moses(const TokenizerOptions& options);

// sacremoses' classes of characters.
enum class MosesClass {
  kTokenizerAlnum,
  kTokenizerAlpha,
  kNumber,
  kLower,
  kDetokenizerAlpha,
  kCurrency,
  kHangul,
  kHan,
  kHiragana,
  kKatakana
};
bool is_in(MosesClass character_class, char32_t character) noexcept;
// sacremoses/util.py: is_cjk()
bool is_cjk(char32_t character) noexcept;

// sacremoses' MosesDetokenizer.detokenize(tokens.split()).
std::u32string moses_detokenize(std::u32string_view tokens,
                                const std::optional<std::string>& language);

// str.split(); views into `text`.
std::vector<std::u32string_view> split_words(std::u32string_view text);
std::u32string replace_all(std::u32string_view text, std::u32string_view from,
                           std::u32string_view to);
std::u32string_view strip(std::u32string_view text) noexcept;

}  // namespace elbeam::text
