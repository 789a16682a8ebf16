// sacrebleu's tokenizers (sacrebleu/tokenizers/*.py).
#pragma once

#include <elbeam/eval/metrics.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::eval {

// Immutable: may be called from any thread.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // The text with white space between its tokens.
  virtual std::string operator()(std::string_view line) const = 0;
};

// Throws Error: kUsage for a name that sacrebleu does not know either, kUnsupported for one that
// needs a library, or a segmentation where none is given. `segmentation` may be empty.
std::unique_ptr<const Tokenizer> make_tokenizer(const std::string& name,
                                                const Segmentation& segmentation = {});

// Whether the tokenizer of this name is a sentencepiece model (tokenizer_spm.py).
bool needs_segmentation(const std::string& name);

// The two halves of what 13a, zh and Tercom do to Western text: blanks around marks that always
// stand alone; blanks around periods, commas and dashes by the digits next to them.
std::string separate_marks(std::string_view line);
std::string separate_by_digits(std::string_view line);

// fairseq/scoring/tokenizer.py with character_tokenization: each character is a token, blanks
// become one of their own. A line of tokens in, single blanks between them out.
std::string spread_characters(std::string_view line);

// The tokens of a line with single blanks between them, as sacrebleu's tokenizers leave it.
std::string join_words(std::string_view line);

struct TercomOptions {
  bool normalized = false;
  bool no_punct = false;
  bool asian_support = false;
  bool case_sensitive = false;
};

// sacrebleu/tokenizers/tokenizer_ter.py.
std::string tercom_tokenize(std::string_view line, const TercomOptions& options);

// UTF-8 to code points; what is not UTF-8 gives U+FFFD.
void decode_utf8(std::string_view bytes, std::vector<char32_t>& code_points);
std::string encode_utf8(const std::vector<char32_t>& code_points);

}  // namespace elbeam::eval
