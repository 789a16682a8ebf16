// The methods of Python's str that fairseq calls on its text, over UTF-8. White space is Python's
// (str.isspace(), which is also what \s means in re). Bytes that are not UTF-8 count as non-space
// characters here; whoever must refuse them asks find_invalid_utf8 first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::text {

bool is_space(char32_t code_point) noexcept;

// str.strip(), str.rstrip() without an argument: views into `text`.
std::string_view strip(std::string_view text) noexcept;
std::string_view strip_right(std::string_view text) noexcept;

// str.split() without an argument: views into `text`, none of them empty.
std::vector<std::string_view> split_words(std::string_view text);

// re.sub(r"\s+", " ", text).
std::string single_blanks(std::string_view text);

// str.replace(from, to): every occurrence from the left, not overlapping. `from` is not empty.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

// int(text): white space around, a sign, decimal digits with single underscores between them.
// Nothing where Python raises ValueError, and also beyond 64 bits and for the non-ASCII digits that
// Python admits: no dictionary holds either.
std::optional<std::int64_t> parse_int(std::string_view text) noexcept;

}  // namespace elbeam::text
