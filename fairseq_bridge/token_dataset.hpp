// One side of a data-bin split: sentences of token ids, as `fairseq-preprocess` wrote them.
#pragma once

#include "text/dictionary.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace elbeam::fairseq {

// Immutable; const access from any thread. Indices are in [0, size()).
class TokenDataset {
 public:
  virtual ~TokenDataset() = default;
  virtual std::int64_t size() const noexcept = 0;
  virtual std::int64_t length(std::int64_t index) const = 0;  // tokens of a sentence
  // Throws Error(kFormat) for an id that is negative or not an integer.
  virtual std::vector<std::int64_t> tokens(std::int64_t index) const = 0;
  // The line itself. Throws Error(kUsage): only raw data has lines.
  virtual std::string text(std::int64_t index) const;
};

// prefix.idx and prefix.bin in the format of fairseq/data/indexed_dataset.py:MMapIndexedDataset,
// mapped and not copied. The whole index is checked here: afterwards no access can leave the file.
// Throws Error(kIo, kFormat, kLimit) with file and place.
std::unique_ptr<TokenDataset> open_mmap_dataset(const std::string& prefix);

// The same for the older format TNTIDX (IndexedDataset, --dataset-impl lazy and cached), whose
// files hold ids one above fairseq's.
std::unique_ptr<TokenDataset> open_tnt_dataset(const std::string& prefix);

// prefix.idx, prefix.bin and prefix.vocab, Huffman codes (HuffmanMMapIndexedDataset). The ids are
// ranks in the .vocab file, not those of a dictionary. Codes are checked when a sentence is read.
std::unique_ptr<TokenDataset> open_huffman_dataset(const std::string& prefix);

// Lines of text, encoded with `dictionary` (IndexedRawTextDataset). Throws Error(kIo, kLimit), and
// kFormat for bytes that are not UTF-8.
std::unique_ptr<TokenDataset> open_raw_dataset(const std::string& path,
                                               const text::Dictionary& dictionary);

// prefix.fasta, one symbol a character (EncodedFastaDataset). As there, length() does not count the
// eos that tokens() ends with. Throws Error(kFormat) for sequences with white space or characters
// beyond ASCII, whose length fairseq takes from grep and awk and so from the locale.
std::unique_ptr<TokenDataset> open_fasta_dataset(const std::string& prefix,
                                                 const text::Dictionary& dictionary);

}  // namespace elbeam::fairseq
