// elbeam-preprocess: text files to a data-bin folder, as fairseq-preprocess
// (fairseq_cli/preprocess.py) makes it, byte for byte.
#pragma once

#include "fairseq_bridge/alignment_dictionary.hpp"
#include "fairseq_bridge/dictionary_builder.hpp"
#include "fairseq_bridge/indexed_dataset.hpp"

#include <optional>
#include <string>
#include <vector>

namespace elbeam::fairseq {

struct PreprocessOptions {
  std::optional<std::string> source_lang;  // absent: file names without a language
  std::optional<std::string> target_lang;
  std::optional<std::string> train_prefix;       // --trainpref: one
  std::vector<std::string> valid_prefixes;       // --validpref
  std::vector<std::string> test_prefixes;        // --testpref
  std::optional<std::string> source_dictionary;  // --srcdict
  std::optional<std::string> target_dictionary;  // --tgtdict
  DictionaryLimits source_limits;                // --thresholdsrc, --nwordssrc, --padding-factor
  DictionaryLimits target_limits;
  bool joined_dictionary = false;
  bool only_source = false;
  bool dictionary_only = false;               // --dict-only
  std::optional<std::string> align_suffix;    // PREFIX.SUFFIX holds alignments
  std::optional<std::string> alignment_file;  // --alignfile: makes a dictionary of translations
  AlignmentLines alignment_lines = AlignmentLines::kBest;  // --compat
  std::string destination = "data-bin";                    // --destdir
  DatasetImpl impl = DatasetImpl::kMmap;                   // kMmap, kRaw, kLazy, kCached
  int workers = 1;                                         // threads; the bytes do not depend on it
};

enum class PreprocessAction { kPreprocess, kHelp, kVersion };

struct PreprocessCommandLine {
  PreprocessAction action = PreprocessAction::kPreprocess;
  PreprocessOptions options;  // meaningful for kPreprocess
};

// Throws Error(kUsage) with argparse's messages, and for what elbeam does not do, by name.
PreprocessCommandLine parse_preprocess_arguments(const std::vector<std::string>& arguments);

// The text of --help.
std::string preprocess_help();

// Logs fairseq's lines, also to preprocess.log in the destination. Throws Error: kUsage where
// fairseq asserts, kIo, kFormat (text that is not UTF-8, with file, line and byte; damaged
// dictionaries and alignments), kLimit.
void run_preprocess(const PreprocessOptions& options);

}  // namespace elbeam::fairseq
