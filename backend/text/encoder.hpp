// Reversible changes of a line of text: what --tokenizer and --bpe name (fairseq/data/encoders).
#pragma once

#include <string>
#include <string_view>

namespace elbeam::text {

// Immutable: both functions may be called from any thread.
class Encoder {
 public:
  virtual ~Encoder() = default;

  // From a line of plain text, without its line end, to what comes next: words separated by blanks
  // for a tokenizer, pieces for a BPE. Throws Error(kFormat) for bytes that are not UTF-8, and what
  // the encoding says of itself.
  virtual std::string encode(std::string_view line) const = 0;

  // Back again; not always to the same text. Throws Error(kModel) for a piece that does not belong
  // to this encoding (fairseq stops with a Python exception there).
  virtual std::string decode(std::string_view pieces) const = 0;
};

// Throws Error(kFormat) naming the first byte of `line` that is not UTF-8.
void require_utf8(std::string_view line);

}  // namespace elbeam::text
