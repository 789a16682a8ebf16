// --replace-unk: what stands for an <unk> of a hypothesis (fairseq/utils.py:replace_unk).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace elbeam::fairseq {

// Source words and what they become; a word that is not there is copied.
using WordMap = std::map<std::string, std::string, std::less<>>;

// Lines "source-word target-word". Throws Error(kFormat) with file and line where a line has fewer
// than two words, kIo.
WordMap load_word_map(const std::string& path);

// The word that stands for an <unk> aligned to word number `source_word` of `source_line`: its
// entry in the map, or itself. Throws Error(kModel) where the line has no such word.
std::string replacement(const std::string& source_line, std::int64_t source_word,
                        const WordMap& map);

}  // namespace elbeam::fairseq
