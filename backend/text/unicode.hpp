// What Unicode says about characters, as Python 3.11 (Unicode 14) and PyPI's regex know it. Own
// tables and no library, because scores must not move with the version of one.
#pragma once

#include <string>
#include <string_view>

namespace elbeam::text {

// General category P*, S*, N*.
bool is_punctuation(char32_t code_point) noexcept;
bool is_symbol(char32_t code_point) noexcept;
bool is_number(char32_t code_point) noexcept;

// What \w of Python's re matches: letters, numbers, the underscore.
bool is_word_character(char32_t code_point) noexcept;

// str.lower(): one letter (U+0130) becomes two, and a sigma that ends a word becomes the final one.
// Bytes that are not UTF-8 stay as they are.
std::string lower(std::string_view text);

}  // namespace elbeam::text
