// Plain text to sub-words and back: what --bpe names (fairseq/data/encoders/*_bpe.py).
#pragma once

#include "text/encoder.hpp"

#include <memory>
#include <string>

namespace elbeam::text {

// Files may be left empty by those who only decode: encode() is Error(kUsage) then.
struct BpeOptions {
  std::string name;   // --bpe: gpt2, subword_nmt, fastbpe, sentencepiece, bytes, byte_bpe,
                      // characters, hf_byte_bpe
  std::string codes;  // --bpe-codes of subword_nmt and fastbpe
  std::string bpe_separator = "@@";  // --bpe-separator of subword_nmt
  std::string gpt2_encoder_json;     // --gpt2-encoder-json; decoding needs it too
  std::string gpt2_vocab_bpe;        // --gpt2-vocab-bpe
  std::string sentencepiece_model;   // --sentencepiece-model of sentencepiece,
                                     // --sentencepiece-model-path of byte_bpe
  std::string hf_vocab;              // --bpe-vocab of hf_byte_bpe; decoding needs it too
  std::string hf_merges;             // --bpe-merges of hf_byte_bpe
  bool hf_add_prefix_space = false;  // --bpe-add-prefix-space of hf_byte_bpe
};

using Bpe = Encoder;

// Throws Error: kUsage for a name that elbeam has not got or a missing option; kIo, kFormat and
// kLimit for the files.
std::unique_ptr<Bpe> make_bpe(const BpeOptions& options);

}  // namespace elbeam::text
