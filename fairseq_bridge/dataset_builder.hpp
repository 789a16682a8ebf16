// Writers of data sets: MMapIndexedDatasetBuilder and IndexedDatasetBuilder
// (fairseq/data/indexed_dataset.py), byte for byte.
#pragma once

#include "fairseq_bridge/output_file.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace elbeam::fairseq {

// Sentences of one piece of text as the .bin file will hold them.
struct EncodedSentences {
  std::string bytes;
  std::vector<std::int32_t> sizes;  // tokens
};

// Not thread-safe, but for encode(), which is const.
class DatasetBuilder {
 public:
  enum class Format { kMmap, kTnt };

  // Creates prefix.bin. `vocabulary_size` decides the element type of kMmap, as in
  // best_fitting_int_dtype; nothing: 32 bits. Throws Error(kIo).
  DatasetBuilder(const std::string& prefix, Format format,
                 std::optional<std::int64_t> vocabulary_size);

  void encode(std::span<const std::int64_t> tokens, EncodedSentences& out) const;
  void append(const EncodedSentences& sentences);
  // Writes prefix.idx. Nothing may be appended afterwards.
  void finish();

 private:
  std::string index_header() const;

  std::string prefix_;
  Format format_;
  std::int64_t element_bytes_;
  std::uint8_t type_code_;
  OutputFile data_;
  std::vector<std::int32_t> sizes_;
};

}  // namespace elbeam::fairseq
