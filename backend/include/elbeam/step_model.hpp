// What the search needs of a model. elbeam's native and TorchScript engines implement it; users can
// bring their own, and tests script one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace elbeam {

// Ids of the special symbols (fairseq's Dictionary puts them first, in this order).
struct SpecialTokens {
  std::int64_t bos = 0;
  std::int64_t pad = 1;
  std::int64_t eos = 2;
  std::int64_t unk = 3;
};

// The sources of one virtual fairseq batch. Sentences keep their own lengths here: no padding is
// stored. padded_length is the width that fairseq's collater would have padded to; it enters
// max_len = a * padded_length + b (fairseq: SequenceGenerator._generate), and nothing else.
struct SourceBatch {
  std::vector<std::vector<std::int64_t>> sentences;  // [bsz][length], each ends with eos
  std::int64_t padded_length = 0;                    // >= the longest sentence
  // [bsz] where sentences of several virtual batches are decoded together: the padded length of
  // each one's own, >= its length; padded_length is the largest. Empty: padded_length for all.
  std::vector<std::int64_t> padded_lengths{};
};

// How the decode loop is going to use a state: lets a model size its caches.
struct DecodeShape {
  std::int64_t beam = 1;       // most rows that one sentence will have
  std::int64_t max_steps = 1;  // step() will be called at most this often
  double temperature = 1.0;    // logits are divided by it before they are normalised
  bool attention = false;      // step() will be asked for the attention to the source
  // Tokens that must be possible, whatever a model selects from its vocabulary: eos, what is
  // forced.
  std::vector<std::int64_t> needed_tokens{};
};

// One step for all live rows. A row is one hypothesis; rows of a sentence are adjacent, sentences
// stay in the order of the batch, and a sentence that has finished has no rows any more.
struct StepInput {
  std::span<const std::int64_t> tokens;  // [rows] the token that each row decodes from
  // [rows] the row of the previous step whose history each row continues (this is fairseq's
  // reorder_incremental_state and its removal of finished sentences in one). In the first step it
  // holds sentence numbers 0..bsz-1 instead, non-decreasing.
  std::span<const std::int64_t> parents;
};

// So many log-probabilities of a row have one upper bound; the last of a row may be fewer.
inline constexpr std::int64_t kBoundWidth = 64;
constexpr std::int64_t bound_count(std::int64_t vocab_size) noexcept {
  return (vocab_size + kBoundWidth - 1) / kBoundWidth;
}

// Where a step writes its results.
struct StepOutput {
  std::span<float> log_probs;  // [rows, vocab_size()] base-e log-probabilities, row-major
  // [rows, source_width] or empty (then nothing is written): attention of the last decoder layer to
  // the source, mean over heads, as fairseq's TransformerDecoder.forward returns it. Column i is
  // the sentence's i-th own token; columns behind its length are 0. source_width is the length of
  // the batch's longest sentence. Only states that were started with DecodeShape::attention know
  // it.
  std::span<float> attention{};
  // [rows, bound_count(vocab_size())] or empty: NaN, in place of which a state may write a number
  // that none of these log_probs is above, if none of them is NaN. Saves the search a pass.
  std::span<float> bounds{};
};

// Tokens that are known beforehand: prompts, references (fairseq's teacher forcing).
struct ForcedInput {
  // [bsz] what the decoder of each sentence reads, the start token first; at least one token each.
  std::vector<std::span<const std::int64_t>> tokens;
  // [bsz] what is scored: targets[s][i] as the token that follows tokens[s][0 .. i]. Either empty
  // (nothing is scored) or as many per sentence as tokens.
  std::vector<std::span<const std::int64_t>> targets;
};

// Where the results go; what is empty is not computed.
struct ForcedOutput {
  std::vector<std::span<float>> target_log_probs;  // [bsz][tokens] base e
  // [bsz, vocab_size()] log-probabilities of what follows each sentence's last token.
  std::span<float> last_log_probs{};
  // [bsz][tokens * source_width] as StepOutput::attention, one line for each token.
  std::vector<std::span<float>> attention{};
};

// The incremental state of one batch: caches and step counter. Not thread-safe; several states of
// one model may be used from several threads at once.
class DecodeState {
 public:
  virtual ~DecodeState() = default;

  // Extends every row by its token and predicts the next one. Throws Error(kInternal) when called
  // more than max_steps times or with bad parents, Error(kUnsupported) for attention that the model
  // cannot give.
  virtual void step(const StepInput& input, const StepOutput& output) = 0;

  // All positions of known tokens in one pass, as elbeam::force() describes; false where the model
  // has no such pass, and then nothing has happened. Users call elbeam::force().
  virtual bool force(const ForcedInput& input, const ForcedOutput& output) {
    static_cast<void>(input);
    static_cast<void>(output);
    return false;
  }
};

// Reads tokens that are known, before the first step() of a state: by the model's own pass over all
// positions, or else step by step. Where all sentences have the same number n of tokens, step() may
// go on behind them, as after n steps of one row a sentence; otherwise the state has done its work.
// `vocab_size` is the model's. Throws Error(kUsage) for input and output that do not fit together
// or more than DecodeShape::max_steps tokens, and what step() throws.
void force(DecodeState& state, std::int64_t vocab_size, const ForcedInput& input,
           const ForcedOutput& output);

class StepModel {
 public:
  virtual ~StepModel() = default;

  virtual std::int64_t vocab_size() const = 0;

  // fairseq's model.max_decoder_positions(): hypotheses have at most one token less, eos excluded.
  virtual std::int64_t max_decoder_positions() const = 0;

  // False for a language model: it reads no source. The sentences of its batches are still counted,
  // and what they hold is ignored; prompts are forced prefixes of the search.
  virtual bool has_encoder() const { return true; }

  // Longest source, eos included (fairseq's model.max_positions()[0]).
  virtual std::int64_t max_source_positions() const = 0;

  // Encodes the batch and opens a state. Throws Error(kModel) for a token id outside the source
  // vocabulary, a sentence that is empty or longer than max_source_positions(), and
  // Error(kOutOfMemory) when the caches cannot be had. Thread-safe.
  virtual std::unique_ptr<DecodeState> start(const SourceBatch& batch,
                                             const DecodeShape& shape) = 0;
};

}  // namespace elbeam
