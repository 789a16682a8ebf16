// Python's str.lower().
#pragma once

#include <string>
#include <string_view>

namespace elbeam::fairseq {

// `text` is UTF-8. By Unicode's full mapping without a language (ICU): a letter may become two, and
// a sigma at the end of a word becomes the final one.
std::string lower_case(std::string_view text);

}  // namespace elbeam::fairseq
