// Sub-word text back to plain text: the decode() half of fairseq/data/encoders/*, what --bpe does
// to output lines.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace elbeam::text {

struct BpeOptions {
  std::string name;                  // --bpe: gpt2, subword_nmt, fastbpe, sentencepiece, characters
  std::string gpt2_encoder_json;     // --gpt2-encoder-json, a local file
  std::string bpe_separator = "@@";  // --bpe-separator, subword_nmt only
};

// Immutable: decode() may be called from any thread.
class Bpe {
 public:
  virtual ~Bpe() = default;

  // Throws Error(kModel) for a piece that does not belong to this encoding (fairseq stops with a
  // Python exception there).
  virtual std::string decode(std::string_view pieces) const = 0;
};

// Throws Error: kUsage for a name that elbeam has not got or a missing option; kIo, kFormat and
// kLimit for the file.
std::unique_ptr<Bpe> make_bpe(const BpeOptions& options);

}  // namespace elbeam::text
