// Synonyms from WordNet's own files (index.* and data.* of version 3.0, Debian's wordnet-base).
#pragma once

#include "base/mapped_file.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace elbeam::eval {

// Immutable: may be used from any thread.
class WordNet {
 public:
  // Throws Error: kIo for files that are missing, kFormat for irregular forms without a stem.
  explicit WordNet(const std::string& folder);

  // The single words of every synset that has `word`, which is in lower case, or a base form of it
  // (morphy); what nltk's wordnet.synsets(word) gives. Words repeat and may have capitals. Throws
  // Error(kFormat) where the files contradict each other.
  std::vector<std::string> synonyms(std::string_view word) const;

 private:
  struct PartOfSpeech {
    MappedFile index;
    MappedFile data;
    std::unordered_map<std::string, std::vector<std::string>> exceptions;
  };

  static std::string_view find(const PartOfSpeech& part, std::string_view lemma);
  static void add_synset(const PartOfSpeech& part, std::string_view offset,
                         std::vector<std::string>& words);

  std::vector<PartOfSpeech> parts_;  // noun, verb, adjective, adverb
};

}  // namespace elbeam::eval
