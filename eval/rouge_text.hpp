// Words of a text as the two ROUGE implementations see them: runs of a-z and 0-9.
#pragma once

#include <elbeam/eval/metrics.hpp>

#include "eval/stemmers.hpp"
#include "eval/word_ids.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::eval {

// Mean over segments from sums of [precision, recall, F, segments].
Score mean_of_segments(std::span<const double> sums);

enum class RougeStemmer {
  kNone,
  kNltk,      // rouge-score with use_stemmer
  kRouge155,  // ROUGE-1.5.5.pl -m
};

struct RougeTokens {
  std::vector<std::uint32_t> words;    // of all sentences
  std::vector<std::size_t> sentences;  // where each begins in `words`, and the end

  std::size_t sentence_count() const { return sentences.size() - 1; }
  std::span<const std::uint32_t> sentence(std::size_t index) const {
    return std::span(words).subspan(sentences[index], sentences[index + 1] - sentences[index]);
  }
};

struct RougeWords {
  RougeStemmer stemmer = RougeStemmer::kNone;
  const ExceptionList* exceptions = nullptr;  // of kRouge155; may be nullptr
  // Letters beyond ASCII whose lower case is ASCII count, as in Python's lower(); else a byte that
  // is no ASCII letter or digit separates.
  bool unicode_lower = false;
};

// Turns words into numbers that are equal where the stems are. Not thread-safe.
class RougeTokenizer {
 public:
  // A new segment, whose texts have `bytes` in all: numbers begin again.
  void start(const RougeWords& words, std::size_t bytes);

  // Sentences are the lines of the text; empty lines are left out, lines without a word stay.
  void tokenize(std::string_view text, RougeTokens& tokens);

 private:
  std::size_t find_words(std::string_view text);
  std::string_view stem(std::string_view word);

  RougeWords words_;
  std::vector<char> lower_;  // the segment's texts with their words in lower case
  std::size_t used_ = 0;     // of lower_
  std::vector<std::size_t> edges_;
  WordIds ids_;
  WordIds known_;                   // words of all segments so far
  std::vector<std::string> stems_;  // of those
};

}  // namespace elbeam::eval
