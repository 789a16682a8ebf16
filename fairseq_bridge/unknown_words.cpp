#include "fairseq_bridge/unknown_words.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/mapped_file.hpp"
#include "text/python_string.hpp"
#include "text/utf8.hpp"

#include <string_view>
#include <vector>

namespace elbeam::fairseq {

WordMap load_word_map(const std::string& path) {
  const MappedFile file(path);
  const std::string_view content(reinterpret_cast<const char*>(file.bytes().data()),
                                 file.bytes().size());
  if (const auto offset = text::find_invalid_utf8(content)) {
    fail(ErrorCode::kFormat, path, ": byte ", *offset, " is not UTF-8");
  }
  WordMap map;
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    const auto words = text::split_words(content.substr(begin, end - begin));
    ++number;
    ELBEAM_CHECK(words.size() >= 2, ErrorCode::kFormat, path, ": line ", number,
                 ": expected a source word and a target word, got ", words.size(), " words");
    map.insert_or_assign(std::string(words[0]), std::string(words[1]));
    begin = end + 1;
  }
  return map;
}

std::string replacement(const std::string& source_line, std::int64_t source_word,
                        const WordMap& map) {
  const auto words = text::split_words(source_line);
  ELBEAM_CHECK(source_word < ssize(words.size()), ErrorCode::kModel,
               "--replace-unk: an <unk> is aligned to word ", source_word,
               " of a source line that has ", words.size(), " words");
  const std::string_view word = words[usize(source_word)];
  const auto found = map.find(word);
  return found == map.end() ? std::string(word) : found->second;
}

}  // namespace elbeam::fairseq
