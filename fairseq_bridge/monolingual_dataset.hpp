// The samples of the language_modeling task: a stream of sentences cut into blocks
// (fairseq/data/token_block_dataset.py) and shifted by one for the model
// (fairseq/data/monolingual_dataset.py).
#pragma once

#include "fairseq_bridge/indexed_dataset.hpp"
#include "fairseq_bridge/token_dataset.hpp"
#include "text/dictionary.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::fairseq {

// --sample-break-mode
enum class BreakMode {
  kNone,         // blocks of tokens_per_sample tokens, cut anywhere
  kComplete,     // as many whole sentences as fit; a longer sentence is a block of its own
  kCompleteDoc,  // the same within a document; a sentence of one token (its eos) ends a document
  kEos,          // one sentence a block
};

// "none", "complete", "complete_doc", "eos".
std::optional<BreakMode> parse_break_mode(std::string_view name) noexcept;

struct MonolingualOptions {
  BreakMode break_mode = BreakMode::kNone;
  std::int64_t tokens_per_sample = 1024;  // block size, >= 1; kEos ignores it
  bool truncate = false;          // --shorten-method truncate: sentences to tokens_per_sample first
  bool add_bos_token = false;     // <s> before source and target; sizes do not count it
  std::int64_t output_size = -1;  // --output-dictionary-size; targets from there on are <unk>
};

// Immutable; const access from any thread. Samples are in [0, size()).
class MonolingualDataset {
 public:
  // Throws Error: kUsage for the options, kModel for data without a token or, with kCompleteDoc,
  // without a document of two tokens.
  MonolingualDataset(std::unique_ptr<TokenDataset> sentences, const SpecialTokens& special,
                     const MonolingualOptions& options);

  std::int64_t size() const noexcept;
  // Tokens of a sample as ordering, batching and the size filter see it. Exact: fairseq's count
  // wraps at 65,536 where tokens_per_sample is below 65,535.
  std::int64_t sample_size(std::int64_t index) const;

  struct Sample {
    std::vector<std::int64_t>
        source;  // the target one to the right, eos (or the token before) first
    std::vector<std::int64_t> target;  // the block itself: "future" of --future-target
  };
  Sample sample(std::int64_t index) const;

  // MonolingualDataset.ordered_indices with shuffle=True: by size, equal ones in the order of the
  // values of numpy's permutation drawn with `seed`. (fairseq's LMContextWindowDataset, which
  // fairseq-eval-lm wraps around it for --context-window, keeps the order 0, 1, 2, ...)
  std::vector<std::int64_t> ordered_indices(std::uint32_t seed) const;

 private:
  // A block in the stream of all sentences, and the sentences that fairseq joins to cut it out.
  struct Block {
    std::int64_t length = 0;
    std::int64_t first_sentence = 0;
    std::int64_t offset = 0;  // of the block in the first sentence
    std::int64_t last_sentence = 0;
  };

  std::int64_t sentence_size(std::int64_t index) const;
  void cut_sentences();
  void cut_stream();
  void add_blocks(const std::vector<std::pair<std::int64_t, std::int64_t>>& slices);
  std::vector<std::int64_t> joined_sentences(const Block& block) const;

  std::unique_ptr<TokenDataset> sentences_;
  SpecialTokens special_;
  MonolingualOptions options_;
  std::vector<Block> blocks_;
};

// A split of the language_modeling task: FOLDER/SUBSET of the first folder of `data`. Throws Error:
// kIo "Dataset not found: ...", and as the data formats and the constructor do.
MonolingualDataset load_monolingual_dataset(const std::string& data, const std::string& subset,
                                            DatasetImpl impl, const text::Dictionary& dictionary,
                                            const MonolingualOptions& options);

}  // namespace elbeam::fairseq
