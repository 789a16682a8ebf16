#include "text/tokenizer.hpp"

#include "base/check.hpp"
#include "text/moses.hpp"
#include "text/python_string.hpp"
#include "text/utf8.hpp"

namespace elbeam::text {
namespace {

// fairseq/data/encoders/space_tokenizer.py
class SpaceTokenizer final : public Encoder {
 public:
  std::string encode(std::string_view line) const override {
    require_utf8(line);
    return single_blanks(line);
  }
  std::string decode(std::string_view pieces) const override { return std::string(pieces); }
};

// fairseq/data/encoders/nltk_tokenizer.py
class NltkTokenizer final : public Encoder {
 public:
  std::string encode(std::string_view) const override {
    fail(ErrorCode::kUsage,
         "--tokenizer nltk: NLTK finds the ends of sentences with its Punkt model, which elbeam "
         "does not have; tokenize the text before, or use --tokenizer moses");
  }
  std::string decode(std::string_view pieces) const override { return std::string(pieces); }
};

}  // namespace

std::unique_ptr<Encoder> make_tokenizer(const TokenizerOptions& options) {
  if (options.name == "moses") return make_moses(options);
  if (options.name == "space") return std::make_unique<SpaceTokenizer>();
  if (options.name == "nltk") return std::make_unique<NltkTokenizer>();
  fail(ErrorCode::kUsage, "--tokenizer ", quoted(options.name),
       " is not supported; known: moses, space, nltk");
}

}  // namespace elbeam::text
