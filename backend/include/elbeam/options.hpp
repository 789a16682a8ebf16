// Options of a search and of loading a model, with fairseq's names, meanings and defaults.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace elbeam {

// How candidates are chosen in each step: one of fairseq's classes in search.py.
enum class Strategy {
  kBeam,                  // BeamSearch
  kDiverseBeam,           // --diverse-beam-groups: DiverseBeamSearch
  kDiverseSiblings,       // --diversity-rate: DiverseSiblingsSearch
  kLengthConstrained,     // --match-source-len: LengthConstrainedBeamSearch
  kSampling,              // --sampling: Sampling
  kConstrainedOrdered,    // --constraints ordered: LexicallyConstrainedBeamSearch
  kConstrainedUnordered,  // --constraints unordered
  kPrefixConstrained,     // PrefixConstrainedBeamSearch
};

// fairseq 0.12.2: dataclass/configs.py GenerationConfig, used by SequenceGenerator.
struct SearchOptions {
  std::int64_t beam = 5;         // capped at vocabulary size - 1, as fairseq does
  std::int64_t nbest = 1;        // hypotheses returned per sentence; above beam gives beam
  std::int64_t min_len = 1;      // tokens before eos is allowed, eos excluded
  double max_len_a = 0.0;        // max_len = int(max_len_a * padded source length + max_len_b),
  double max_len_b = 200.0;      //   capped at max_decoder_positions - 1; eos excluded
  double lenpen = 1.0;           // score / length^lenpen, length counts eos; > 1 favours longer
  bool normalize_scores = true;  // false: --unnormalized
  double unk_penalty = 0.0;      // subtracted from the log-probability of <unk>
  double temperature = 1.0;      // > 0

  Strategy strategy = Strategy::kBeam;

  // kDiverseBeam (Vijayakumar et al. 2016, arXiv:1610.02424). The beam must be divisible by the
  // groups. A token that an earlier group has chosen in this step costs `strength`; cumulative
  // (fairseq's main branch): strength * (1 + the tokens that the two groups had in common in all
  // steps before), and a group has as many candidates as places. Not cumulative is fairseq 0.12.2:
  // strength for each candidate of an earlier group, twice as many candidates as places.
  std::int64_t diverse_groups = -1;  // 1 .. beam
  double diverse_strength = 0.5;     // finite, base e
  bool diverse_cumulative = true;

  // kDiverseSiblings (Li et al. 2016, arXiv:1611.08562): the i-th best extension of a hypothesis
  // costs rate * i, which stays in its score. > -1, which is "not given".
  double diversity_rate = -1.0;

  // kLengthConstrained: max_len is the longest source length of the batch, eos is forbidden before
  // a sentence's own source length and free (log-probability 0) from there on, and hypotheses that
  // are longer score -inf. true: lengths count the source's eos (fairseq's main branch); false:
  // they do not (0.12.2).
  bool source_length_counts_eos = true;

  // kSampling: from the k most probable tokens; from the fewest tokens whose probabilities sum up
  // to p (which wins over k). Not positive: off.
  std::int64_t sampling_topk = -1;
  double sampling_topp = -1.0;
  // Draws are made by counters (Philox) from draw_seed, the sentence's number, the step, the place
  // in the beam and the token, in place of fairseq's one stream: other samples than fairseq's, and
  // the same whatever is decoded together, on the CPU and on devices.
  bool counter_draws = false;
  std::uint64_t draw_seed = 0;

  // --no-repeat-ngram-size: no n-gram of tokens may occur twice in a hypothesis, the token that it
  // starts from included (excluded with n = 1: else no hypothesis could end). 0: off. This is what
  // fairseq's CUDA kernel does; without it fairseq's code has no effect.
  std::int64_t no_repeat_ngram_size = 0;

  // Beyond fairseq. The defaults leave fairseq's results as they are.

  // A sentence is done when ceil(patience * beam) hypotheses have finished (Kasai et al. 2022,
  // arXiv:2204.05424). > 0.
  double patience = 1.0;
  // Added to the score of finished hypotheses: coverage_penalty * sum over source tokens of
  // log(min(attention that the token got in all steps, 1)) (Wu et al. 2016, arXiv:1609.08144,
  // equation 14). >= 0; needs a model that gives attention.
  double coverage_penalty = 0.0;
  // Log-probabilities of tokens that a hypothesis has already are multiplied by it (CTRL, Keskar et
  // al. 2019, arXiv:1909.05858, for log-probabilities). > 0; above 1 avoids repetition. Forced
  // tokens, the start token and the eos of the last step are left alone.
  double repetition_penalty = 1.0;
  // Token sequences that hypotheses may not contain; forced tokens and the eos of the last step are
  // left alone. None may be empty.
  std::vector<std::vector<std::int64_t>> suppressed_sequences;
  // Ends a sentence as soon as none of its live hypotheses can come among the `nbest` best: saves
  // steps and never changes what is returned. Has no effect where scores can grow from step to step
  // (a negative unk_penalty, diverse_strength or diversity_rate); a model must not give
  // log-probabilities above 0 (an ensemble with a negative --lm-weight does). Not with kSampling,
  // where the random numbers of the other sentences would change.
  bool early_stopping = false;
  // Ends a sentence as soon as `nbest` hypotheses have finished and the best live one, scored as if
  // it ended here, is not better than they are (Hugging Face's early_stopping=False). May miss a
  // better hypothesis. Not with kSampling.
  bool heuristic_stopping = false;

  // Throws Error(kUsage) naming the first option that is out of range or does not go with others.
  void validate() const;
};

enum class Engine { kNative, kTorchScript };
enum class Attention { kAuto, kEl, kMha };
// kFp16, kBf16 and kInt8 round the weights of matrices (int8: by output, and what they multiply by
// row); everything else is computed in fp32. Opt-in: other hypotheses may win where scores are
// close.
enum class DType { kFp32, kFp64, kFp16, kBf16, kInt8 };

// Vocabulary selection: hypotheses are made of tokens that seem likely beforehand, and the others
// are not computed. Opt-in and not lossless. What a search forces (prefixes, constraints, eos) is
// always among them.
struct VocabularyOptions {
  // A target token a line, most frequent first, what follows a blank is ignored. Empty: the order
  // of the target dictionary.
  std::string list_path;
  // Lines "target source probability", as Marian's lex.s2t; empty: none.
  std::string lexicon_path;
  // Tokens of that list for every batch; -1: all of list_path, or 100 of the dictionary.
  std::int64_t first = -1;
  std::int64_t best = 100;  // most probable translations of each word of the batch's sources

  bool active() const { return !list_path.empty() || !lexicon_path.empty(); }
};

struct LoadOptions {
  std::string
      model_path;  // fairseq checkpoint (zip or legacy) or archive of torchscript_models.export
  // Dictionaries dict.<lang>.txt of the data; empty: the archive's own (checkpoints carry none).
  std::string source_dictionary_path;
  std::string target_dictionary_path;
  // Symbols that a task adds behind those of both dictionaries: fairseq's language tokens.
  std::vector<std::string> extra_symbols;
  // Further models; probabilities are averaged in each step (fairseq: --path a.pt:b.pt). They need
  // the same dictionaries, nothing else needs to be the same.
  std::vector<std::string> ensemble_paths;
  // Shallow fusion with a language model over the target dictionary; empty: none. lm_weight times
  // its log-probabilities are added to the model's.
  std::string lm_path;
  std::string lm_dictionary_path;
  double lm_weight = 0.0;
  Engine engine = Engine::kNative;
  Attention attention = Attention::kAuto;
  DType dtype = DType::kFp32;
  int threads = 0;  // 0: as many as the process may run on
  // Bytes that Attention::kAuto tries to stay below for one batch (Generator::predict_memory): it
  // takes EL-attention where multi-head attention would need more. 0: the faster one is taken.
  std::int64_t memory_limit = 0;
  // "cpu", "cuda", "cuda:N" or "cuda-emulated[:90]"; what is not the CPU goes with the native
  // engine.
  std::string device = "cpu";

  // The native engine only:
  // fairseq's --fp16. The weights are rounded to fp16 and everything is computed in `dtype`; stock
  // fairseq computes in fp16 throughout, so scores differ from its in about the third digit, and
  // hypotheses that are that close may change places.
  bool half_weights = false;
  // Which model of a multilingual checkpoint (models.<pair>.*), as "de-en"; empty: its only one.
  std::string language_pair;
  // --model-overrides: the Python literal of a dict of model options, or empty.
  std::string model_overrides;
  // Sources of a batch that are equal are encoded once. Changes no result.
  bool share_sources = true;
  VocabularyOptions vocabulary;  // not of the language model of lm_path
  // On the CPU: keeps the weights as they were packed in a file of its own for each model, which
  // the next start with the same options maps instead of packing them again. The file is made anew
  // where it is missing, damaged or that of another model. Changes no result; a file that cannot be
  // written or used is no error (ModelInfo::warnings).
  bool pack_cache = false;
  std::string pack_cache_folder;  // where that file is; empty: beside the model's

  void validate() const;
};

}  // namespace elbeam
