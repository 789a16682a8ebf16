// fairseq's Dictionary (fairseq/data/dictionary.py): symbol <-> id, read from dict.txt.
#pragma once

#include <elbeam/step_model.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace elbeam::text {

// Immutable after load except through add_symbol(). Const access from any thread.
class Dictionary {
 public:
  // Ids 0..3 are <s> <pad> </s> <unk>.
  Dictionary();

  // Lines "symbol count [#fairseq:overwrite]", split at the last blank. Throws Error(kFormat) with
  // file and line for a duplicate without the overwrite flag, a missing or non-integer count, bytes
  // that are not UTF-8; kLimit above limits.hpp; kIo.
  static Dictionary load(const std::string& path);
  // The same from memory; `name` stands for the path in messages.
  static Dictionary parse(std::string_view content, const std::string& name);
  // A full list, line = id, special symbols included (what our archives carry).
  static Dictionary parse_full(std::string_view content, const std::string& name);

  std::int64_t size() const noexcept;
  SpecialTokens special() const noexcept;
  const std::string& symbol(std::int64_t id) const;   // outside the range: the unk symbol
  std::int64_t index(std::string_view symbol) const;  // unknown: unk
  bool contains(std::string_view symbol) const;
  // Id of the new or existing symbol; `count` is added to what it has.
  std::int64_t add_symbol(const std::string& symbol, std::int64_t count = 1);
  std::int64_t count(std::int64_t id) const;  // as in the file; 1 for the special symbols

  // fairseq's encode_line: white space (Unicode) collapsed, split, ids, eos appended. Throws
  // Error(kFormat) for bytes that are not UTF-8 (fairseq stops where it reads such a line).
  std::vector<std::int64_t> encode_line(std::string_view line) const;
  // The same with add_if_not_exist=True: unseen words get new ids.
  std::vector<std::int64_t> encode_line_adding(std::string_view line);

  // fairseq's string() for one tensor without post-processing: words joined by blanks; bos, eos and
  // `ignore` are left out (pad is kept); unk prints as <unk>, or <<unk>> when escape_unk.
  std::string string(const std::vector<std::int64_t>& tokens, bool escape_unk = false,
                     const std::vector<std::int64_t>& ignore = {}) const;

 private:
  // Lets string_view keys be looked up without building a string.
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };

  std::int64_t append(std::string symbol, std::int64_t count);
  void check_room(const std::string& name) const;
  static std::vector<std::string_view> checked_words(std::string_view line);

  std::vector<std::string> symbols_;
  std::vector<std::int64_t> counts_;
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> ids_;
};

}  // namespace elbeam::text
