// Vocabularies from text: Dictionary.add_file_to_dictionary() and finalize()
// (fairseq/data/dictionary.py).
#pragma once

#include "base/thread_pool.hpp"
#include "text/dictionary.hpp"

#include <cstdint>
#include <string>
#include <unordered_map>

namespace elbeam::fairseq {

struct DictionaryLimits {
  std::int64_t threshold = 0;       // rarer words are left out
  std::int64_t words = -1;          // size with the four special symbols; <= 0: all
  std::int64_t padding_factor = 8;  // madeupword0000, ... until the size is a multiple
};

// Not thread-safe.
class DictionaryBuilder {
 public:
  // Counts the words of a file with the pool's threads. Throws Error(kIo); kFormat for bytes that
  // are not UTF-8; kLimit for too many different words.
  void add_file(const std::string& path, ThreadPool& pool);

  // The words by falling count, equal ones by code point. Special symbols that the text holds as
  // words do not come a second time.
  text::Dictionary finish(const DictionaryLimits& dictionary_limits) const;

 private:
  std::unordered_map<std::string, std::int64_t> counts_;
};

// Dictionary.save(): "symbol count" lines, special symbols left out. Throws Error(kIo).
void save_dictionary(const text::Dictionary& dictionary, const std::string& path);

}  // namespace elbeam::fairseq
