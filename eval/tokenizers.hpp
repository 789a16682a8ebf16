// sacrebleu's tokenizers (sacrebleu/tokenizers/*.py) and words as numbers.
#pragma once

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
// needs a model or a library.
std::unique_ptr<const Tokenizer> make_tokenizer(const std::string& name);

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

// Numbers for words, so that they compare fast: equal words, equal numbers, counted from 0. Words
// are remembered beyond clear(), up to some number, because texts mostly repeat known ones: finding
// a known word takes no branch that depends on whether it was numbered already. Not thread-safe.
class WordIds {
 public:
  void clear();  // numbers begin again
  std::uint32_t id(std::string_view word);
  // Replaces `ids` by those of the line's words (str.split()).
  void split(std::string_view line, std::vector<std::uint32_t>& ids);

 private:
  struct Word {
    const char* letters = nullptr;
    std::uint64_t hash = 0;
    std::uint32_t length = 0;
    std::uint32_t id = 0;
    std::uint32_t epoch = 0;  // another than epoch_: there is no number yet
  };
  struct Slot {
    std::uint32_t hash = 0;  // its upper half
    std::uint32_t word = 0;  // counted from 1; 0: the slot is empty
  };

  void forget();
  void grow();
  Word& find_or_add(std::string_view word);
  Word& add(std::string_view word, std::uint64_t hash);
  std::size_t empty_slot(std::uint64_t hash) const noexcept;
  const char* keep(std::string_view word);

  static constexpr std::size_t kFewSlots = 256;

  std::vector<Slot> slots_ = std::vector<Slot>(kFewSlots);  // open addressing; a power of two
  std::vector<Word> words_;  // in the order they came in: frequent ones are near each other
  std::uint32_t epoch_ = 1;
  std::uint32_t size_ = 0;                        // numbers given since clear()
  std::vector<std::unique_ptr<char[]>> letters_;  // what the words point to
  char* block_ = nullptr;                         // where the last block is free,
  std::size_t left_ = 0;                          // and how many bytes
  std::size_t kept_ = 0;                          // bytes in all blocks
};

}  // namespace elbeam::eval
