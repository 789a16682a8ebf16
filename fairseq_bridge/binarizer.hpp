// Text files to data sets (fairseq/binarizer.py), several pieces of a file at a time.
#pragma once

#include "base/thread_pool.hpp"
#include "fairseq_bridge/dataset_builder.hpp"
#include "text/dictionary.hpp"

#include <cstdint>
#include <string>

namespace elbeam::fairseq {

struct BinarizeSummary {
  std::int64_t sentences = 0;
  std::int64_t tokens = 0;
  std::int64_t replaced = 0;  // by <unk>

  // "29 sents, 403 tokens, 12.3% replaced"; without the last part where there was no line.
  std::string text() const;
};

// Where the result goes: prefix.bin and prefix.idx.
struct DatasetTarget {
  std::string prefix;
  DatasetBuilder::Format format;
};

// Every line of `input` as the ids of its words and eos. Throws Error: kIo; kFormat for bytes that
// are not UTF-8; kLimit for a line of too many words.
BinarizeSummary binarize_text(const std::string& input, const text::Dictionary& dictionary,
                              const DatasetTarget& target, ThreadPool& pool);

// Every line "0-0 1-2 ..." as 0 0 1 2 ... (utils.parse_alignment). Throws Error as above, and
// kFormat for anything else on a line.
BinarizeSummary binarize_alignments(const std::string& input, const DatasetTarget& target,
                                    ThreadPool& pool);

// One "a-b" of an alignment: two integers of 0 or more. Throws Error(kFormat) naming `place`.
std::pair<std::int64_t, std::int64_t> parse_alignment_pair(std::string_view pair,
                                                           const std::string& place);

}  // namespace elbeam::fairseq
