// Porter's stemmer in the two variants that published scores were made with. (Snowball's "porter"
// in libstemmer is a third one.)
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

namespace elbeam::eval {

// nltk's PorterStemmer in its default mode, NLTK_EXTENSIONS, for a word in lower case. UTF-8: what
// is no Latin vowel is a consonant.
std::string nltk_stem(std::string_view word);

// The stem() of ROUGE-1.5.5.pl: ASCII letters in lower case and digits.
std::string rouge155_stem(std::string word);

// Irregular forms and their stems ("was be"), which ROUGE-1.5.5 looks up before it stems: WordNet
// 2.0's exception lists. They are made of version 3.0's (Debian's wordnet-base), which differ in
// fifteen entries. Immutable: may be used from any thread.
class ExceptionList {
 public:
  // `folder` has adj.exc, adv.exc, noun.exc, verb.exc. Throws Error: kIo, kFormat.
  static ExceptionList load(const std::string& folder);

  // The stem of an irregular form, or nullptr.
  const std::string* find(std::string_view form) const;

 private:
  std::unordered_map<std::string, std::string> stems_;
};

}  // namespace elbeam::eval
