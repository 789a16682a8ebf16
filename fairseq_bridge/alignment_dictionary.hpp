// fairseq-preprocess --alignfile: the most frequent translation of every source word.
#pragma once

#include "text/dictionary.hpp"

#include <string>

namespace elbeam::fairseq {

struct AlignedSide {
  std::string path;  // of the text
  const text::Dictionary& dictionary;
};

enum class AlignmentLines {
  kBest,  // one line for every source word, as fairseq's authors meant it
  // One line for every alignment: fairseq counts with tensors as keys of a dict, and no two tensors
  // are the same key. Who reads the file takes the last line of a word.
  kEvery
};

// Reads alignments "0-0 1-2 ...", sources and targets line by line and writes "source target"
// lines; kBest: source words in the order of their first alignment, of equally frequent targets the
// first one seen. Words outside the dictionaries are left out. Throws Error: kIo; kFormat for bytes
// that are not UTF-8, for pairs that lead outside a sentence and for files of different length.
void make_alignment_dictionary(const std::string& alignments, const AlignedSide& source,
                               const AlignedSide& target, AlignmentLines lines,
                               const std::string& output);

}  // namespace elbeam::fairseq
