// The facade: load a model, generate, read the statistics. The command line tools use nothing else.
//
//   elbeam::LoadOptions load;
//   load.model_path = "checkpoint_best.pt";
//   load.source_dictionary_path = "data-bin/dict.de.txt";
//   load.target_dictionary_path = "data-bin/dict.en.txt";
//   elbeam::Generator generator(load);
//   auto results = generator.translate({"ein kleiner hund"}, elbeam::SearchOptions{});
//   std::cout << results[0].hypotheses[0].text << '\n';
#pragma once

#include <elbeam/error.hpp>
#include <elbeam/options.hpp>
#include <elbeam/prefix_trie.hpp>
#include <elbeam/random.hpp>
#include <elbeam/step_model.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam {

struct Hypothesis {
  std::vector<std::int64_t> tokens;      // target ids, the last is eos
  float score = 0.0F;                    // base e; normalised by length unless --unnormalized
  std::vector<float> positional_scores;  // base e, one per token, eos included
  std::string text;                      // filled by translate(): target words joined by blanks
  // [tokens][source tokens of the sentence] with GenerateRequest::attention, else empty.
  std::vector<std::vector<float>> attention;
};

struct SentenceResult {
  std::vector<Hypothesis> hypotheses;  // best first, at most nbest
};

// One fairseq batch to decode. Empty vectors mean "none"; others have one element per sentence.
struct GenerateRequest {
  SourceBatch batch;
  std::vector<std::vector<std::int64_t>> prefix_tokens;  // forced first tokens, each may be empty
  // Token sequences that must occur (strategies kConstrainedOrdered, kConstrainedUnordered).
  std::vector<std::vector<std::vector<std::int64_t>>> constraints;
  AllowedTokens allowed_tokens;  // strategy kPrefixConstrained
  // kDiverseBeam, to do as fairseq's main branch: the numbers of the sentences in the data set,
  // each below the batch's size. It keeps what groups had in common in the first step by place in
  // the batch, and looks it up by these numbers later. Empty: every sentence has its own.
  std::vector<std::int64_t> diversity_ids;
  // Which sentence of all of them each one is: for messages, and for SearchOptions::counter_draws,
  // which look at the lower 32 bits. Empty: its number in the batch.
  std::vector<std::int64_t> sentence_ids;
  // What every hypothesis starts from instead of eos (fairseq's bos_token argument).
  std::optional<std::int64_t> start_token;
  // What ends a hypothesis instead of the dictionary's eos (SequenceGenerator's argument eos);
  // hypotheses start from it, too, unless start_token is set.
  std::optional<std::int64_t> end_token;
  bool attention = false;  // fill Hypothesis::attention
  // Where Generator::refills() says so: how many sentences are decoded at once, the others wait for
  // their places (0: all are decoded at once), with how many source tokens (0: as many as places
  // with the longest source have); and who is told of each sentence as soon as it has ended, on the
  // thread of generate().
  std::int64_t places = 0;
  std::int64_t source_tokens = 0;
  std::function<void(std::int64_t sentence, SentenceResult)> finished;
  // Where kSampling draws from; its state goes on from batch to batch. Not to be shared by threads.
  RandomStream* random = nullptr;
};

// Given translations to score.
struct ScoreRequest {
  SourceBatch batch;
  std::vector<std::vector<std::int64_t>> targets;  // one per sentence, eos included
  std::optional<std::int64_t> start_token;         // what precedes each target: eos
  // What the decoder reads, one token for each of the target's. Empty: start_token and the targets
  // moved by one place.
  std::vector<std::vector<std::int64_t>> inputs;
  bool attention = false;  // fill Hypothesis::attention
};

// Counters since the generator was made. Byte figures are peaks over batches, summed over the
// models of an ensemble and its language model; the names of the attentions are those of the first
// model.
struct Statistics {
  std::int64_t sentences = 0;
  std::int64_t source_tokens = 0;  // eos included
  std::int64_t encoded_sentences =
      0;                             // that the native engine's encoder read: equal ones count once
  std::int64_t selected_tokens = 0;  // most of a batch with LoadOptions::vocabulary; 0: all
  std::int64_t generated_tokens = 0;  // of the best hypotheses, eos included (fairseq's log line)
  std::int64_t steps = 0;             // decoder steps
  std::int64_t decoder_rows = 0;      // rows summed over steps
  double encode_seconds = 0.0;
  double decode_seconds = 0.0;
  std::string engine;           // "native" or "torchscript"
  std::string isa;              // instruction set of the kernels: "avx512", "avx2", "generic"
  std::string cross_attention;  // "el" or "mha", as planned for the last batch
  std::string self_attention;
  std::int64_t cross_cache_bytes = 0;  // really allocated
  std::int64_t self_cache_bytes = 0;
  std::int64_t cross_cache_bytes_mha_copied = 0;  // what a copy per beam would have taken
  std::int64_t cross_cache_bytes_mha_shared = 0;
  std::int64_t cross_cache_bytes_el = 0;
};

// Facts of the loaded model.
struct ModelInfo {
  std::string architecture;  // "transformer", ...
  std::string
      source_format;  // "fairseq checkpoint (zip)", "fairseq checkpoint (legacy)", "elbeam archive"
  SpecialTokens special;
  std::int64_t source_vocab_size = 0;
  std::int64_t target_vocab_size = 0;
  std::int64_t max_source_positions = 0;
  std::int64_t max_target_positions = 0;
  std::int64_t parameters = 0;  // tied tensors counted once; of all models together
  // Draws that fairseq's building of these models makes between setting its seed and decoding, see
  // random.hpp. Nothing: not known for an architecture.
  std::optional<std::int64_t> initialisation_draws;
  std::int64_t pack_caches_read = 0;     // models whose weights lie in a file of LoadOptions::
  std::int64_t pack_caches_written = 0;  //   pack_cache that was there; that was written just now
  // What kept a pack cache from being used or written: sentences that name the file.
  std::vector<std::string> warnings;
};

// Thread safety: generate() may be called from several threads at once; each call is independent.
class Generator {
 public:
  // Throws Error: kIo, kFormat, kIntegrity, kLimit (the file), kUnsupported (the architecture),
  // kModel (dictionary and embedding sizes differ), kUsage (options).
  explicit Generator(const LoadOptions& options);

  // Decodes with a model of the caller's; no dictionaries, so generate() only.
  Generator(std::shared_ptr<StepModel> model, const SpecialTokens& special);

  ~Generator();
  Generator(Generator&&) noexcept;
  Generator& operator=(Generator&&) noexcept;

  // One fairseq batch: results[i] belongs to batch.sentences[i]. Throws Error.
  std::vector<SentenceResult> generate(const GenerateRequest& request,
                                       const SearchOptions& options) const;

  // Whether generate() begins other sentences in the places of those that have ended: a device
  // does, for beam search and for samples drawn by counters, without prefixes.
  bool refills(const GenerateRequest& request, const SearchOptions& options) const;

  // Most bytes that generate() may hold for a batch with sources of these lengths while it decodes:
  // caches of attention, for outputs of the greatest length, and the log-probabilities of one step.
  // Weights, and what a step computes from them, are not counted; nor is anything of models that
  // are not run by the native engine but the log-probabilities. Throws Error(kUsage) for options
  // that generate() would refuse, Error(kLimit) where the number is too large.
  std::int64_t predict_memory(std::span<const std::int64_t> source_lengths,
                              std::int64_t padded_length, const SearchOptions& options) const;

  // Scores given translations by teacher forcing (--score-reference; fairseq's SequenceScorer): one
  // hypothesis per sentence, whose score is the mean of its positional scores. Throws Error.
  std::vector<SentenceResult> score(const ScoreRequest& request) const;

  // The `count` most probable tokens behind each sentence's prefix (request.prefix_tokens; without
  // one, the first tokens), each continued by the search: one hypothesis for each, most probable
  // token first, and fewer where fewer are possible. options.nbest is not used. Throws Error.
  std::vector<SentenceResult> alternatives(const GenerateRequest& request,
                                           const SearchOptions& options, std::int64_t count) const;

  // Lines of source text, split at white space as fairseq's Dictionary.encode_line does.
  std::vector<SentenceResult> translate(const std::vector<std::string>& lines,
                                        const SearchOptions& options) const;

  // Source ids of one line, eos appended; unknown words give unk.
  std::vector<std::int64_t> encode_source(std::string_view line) const;
  // Words of target ids joined by blanks; eos, bos and pad are left out.
  std::string decode_target(const std::vector<std::int64_t>& tokens) const;

  const ModelInfo& model_info() const;
  Statistics statistics() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Makes every generate() of this process, running or yet to start, throw Error(kInterrupted) at its
// next step. For signal handlers: async-signal-safe, and not to be undone.
void request_cancellation() noexcept;

// Version of the library, "major.minor.patch".
const char* version();

// What this build decodes on besides the CPU (LoadOptions::device), in words.
std::string supported_devices();

}  // namespace elbeam
