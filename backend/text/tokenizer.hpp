// Plain text to words and back: what --tokenizer names (fairseq/data/encoders/*_tokenizer.py).
#pragma once

#include "text/encoder.hpp"

#include <memory>
#include <optional>
#include <string>

namespace elbeam::text {

struct TokenizerOptions {
  std::string name;  // --tokenizer: moses, space, nltk
  // Languages of the moses tokenizer and detokenizer; nothing stands for Python's None, which
  // takes the abbreviations of every language. One that Moses does not know is treated as English
  // is, but for its rules about apostrophes.
  std::optional<std::string> source_lang = "en";
  std::optional<std::string> target_lang = "en";
  bool moses_no_dash_splits = false;  // --moses-no-dash-splits
  bool moses_no_escape = false;       // --moses-no-escape
};

// moses: sacremoses 0.2.0, but with target language cs decode() is Error(kModel) for the dashed
// words that sacremoses ends on with a TypeError. Reads Moses' lists of abbreviations from
// nonbreaking_prefixes in $ELBEAM_SHARE, else in share/elbeam or share above the program's folder.
// nltk: decode() only, as NLTK needs a trained model of sentence ends to encode: Error(kUsage).
// Throws Error: kUsage for other names; kIo, kFormat and kLimit for the lists.
std::unique_ptr<Encoder> make_tokenizer(const TokenizerOptions& options);

}  // namespace elbeam::text
