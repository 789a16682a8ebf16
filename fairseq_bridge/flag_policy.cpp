#include "fairseq_bridge/flag_policy.hpp"

#include "base/check.hpp"

#include <set>

namespace elbeam::fairseq {
namespace {

constexpr FlagStatus kYes = FlagStatus::kImplemented;
constexpr FlagStatus kNo = FlagStatus::kNotBuilt;
constexpr Harmless kDefault = Harmless::kDefault;

constexpr FlagPolicy kPolicies[] = {
    // elbeam's own
    {"--attention", kYes, kDefault, "", "attention: EL, beam-shared multi-head, or as planned"},
    {"--bart-hub", kYes, kDefault, "",
     "as BARTHubInterface.generate: <s> begins the source and the output"},
    {"--beam-patience", kYes, kDefault, "",
     "a sentence is done when X * beam hypotheses have finished"},
    {"--compat", kYes, kDefault, "", "whose surprises to reproduce; fixed: none"},
    {"--coverage-penalty", kYes, kDefault, "", "weight of the coverage penalty (Wu et al. 2016)"},
    {"--device", kYes, kDefault, "", "cpu, cuda[:N,...] or cuda-emulated[:90] (see docs/gpu.md)"},
    {"--dtype", kYes, kDefault, "fp32|fp64|bf16|fp16|int8",
     "fp32; fp64 for proofs; or fp32 with weights rounded to bf16, fp16 or int8"},
    {"--early-stopping", kYes, kDefault, "",
     "end a sentence when no live hypothesis can win (exact) or looks like it (heuristic)"},
    {"--engine", kYes, kDefault, "", "native: elbeam's layers; torchscript: the exported module"},
    {"--help", kYes, kDefault, "", "this text"},
    {"--json", kYes, kDefault, "", "one JSON object a sentence instead of fairseq's lines"},
    {"--lexical-shortlist", kYes, kDefault, "",
     "FILE of lines 'target source probability': target words are chosen from (not lossless)"},
    {"--max-quality-loss", kYes, kDefault, "",
     "exit code 5, and nothing written, where --dtype loses more than X BLEU points (sample)"},
    {"--memory-limit", kYes, kDefault, "",
     "most bytes of caches and log-probabilities (512M, 1.5G): batches are made to fit"},
    {"--no-shared-sources", kYes, kDefault, "",
     "encode equal sources, and decode equal sentences, each anew"},
    {"--pack-cache", kYes, kDefault, "",
     "keep the packed weights in a file beside the model, for the next start"},
    {"--pack-cache-dir", kYes, kDefault, "", "the same in this folder"},
    {"--quality-sample", kYes, kDefault, "",
     "sentences to compare with fp32 before a run that is not lossless; 0: none"},
    {"--repetition-penalty", kYes, kDefault, "",
     "log-probabilities of tokens that occurred are multiplied by X"},
    {"--resume", kNo, kDefault, "", "continue an interrupted run"},
    {"--sampling-draws", kYes, kDefault, "",
     "fairseq: as fairseq on the CPU; counter: the same whatever is decoded together"},
    {"--shortlist-best", kYes, kDefault, "",
     "most probable translations of each source word of --lexical-shortlist"},
    {"--shortlist-first", kYes, kDefault, "",
     "most frequent target words besides: of --vocabulary-list [all], else of the dictionary "
     "[100]"},
    {"--stats", kYes, kDefault, "", "write counters as JSON to FILE (bare: to stderr)"},
    {"--suppress", kYes, kDefault, "",
     "FILE of sequences of target words, one a line, that may not be generated"},
    {"--vocabulary-list", kYes, kDefault, "",
     "FILE of target words, most frequent first: others are not computed (not lossless)"},
    {"--threads", kYes, kDefault, "", "threads; 0: as many as the process may use"},
    {"--workers", kYes, kDefault, "", "batches decoded at a time, each with --threads threads"},
    {"--version", kYes, kDefault, "", "version of elbeam"},
    // model and data
    {"--path", kYes, kDefault, "", "fairseq checkpoint or exported archive; several joined by ':'"},
    {"--task", kYes, kDefault,
     "translation|language_modeling|multilingual_translation|translation_multi_simple_epoch|"
     "translation_from_pretrained_bart",
     "what the data and the model are (translation: BART, too)"},
    {"--source-lang", kYes, kDefault, "", "source language; inferred from file names"},
    {"--target-lang", kYes, kDefault, "", "target language; inferred from file names"},
    {"--gen-subset", kYes, kDefault, "", "split to translate"},
    {"--dataset-impl", kYes, kDefault, "", "format of the data; inferred from the files"},
    {"--checkpoint-suffix", kYes, kDefault, "", "put before .pt in the name of the model file"},
    {"--cpu", kYes, kDefault, "", "accepted: this build runs on the CPU"},
    {"--left-pad-source", kYes, kDefault, "", "accepted: padding is never stored"},
    {"--left-pad-target", kYes, kDefault, "",
     "pad references on the left (only --prefix-size sees it)"},
    {"--max-source-positions", kYes, kDefault, "", "longest source, eos included"},
    {"--max-target-positions", kYes, kDefault, "", "longest reference, eos included"},
    {"--truncate-source", kYes, kDefault, "", "cut sources to --max-source-positions"},
    {"--skip-invalid-size-inputs-valid-test", kYes, kDefault, "",
     "skip sentences that are too long"},
    // batching
    {"--max-tokens", kYes, kDefault, "", "most tokens a batch, padding included [12000]"},
    {"--batch-size", kYes, kDefault, "", "most sentences a batch"},
    {"--required-batch-size-multiple", kYes, kDefault, "", "batches grow in steps of this"},
    {"--distributed-world-size", kYes, kDefault, "", "translate every Nth batch only"},
    {"--distributed-rank", kYes, kDefault, "", "which of the Nth batches"},
    {"--seed", kYes, kDefault, "", "order of sentences of equal length (other splits than test)"},
    // search
    {"--beam", kYes, kDefault, "", "beam size"},
    {"--nbest", kYes, kDefault, "", "hypotheses printed a sentence"},
    {"--max-len-a", kYes, kDefault, "", "longest output is a * source length + b"},
    {"--max-len-b", kYes, kDefault, "", "longest output is a * source length + b"},
    {"--min-len", kYes, kDefault, "", "shortest output"},
    {"--lenpen", kYes, kDefault, "", "score / length^lenpen: above 1 favours longer outputs"},
    {"--unnormalized", kYes, kDefault, "", "compare hypotheses without dividing by length"},
    {"--unkpen", kYes, kDefault, "", "penalty of <unk>: above 0 gives fewer"},
    {"--temperature", kYes, kDefault, "", "logits are divided by it"},
    {"--prefix-size", kYes, kDefault, "", "first N reference tokens are forced"},
    {"--no-repeat-ngram-size", kYes, kDefault, "",
     "no n-gram twice (ignored with --compat fairseq-*, as there)"},
    // output
    {"--post-process", kYes, kDefault, "",
     "undo sub-words: subword_nmt (bare), sentencepiece, ..."},
    {"--quiet", kYes, kDefault, "", "the closing line only"},
    {"--results-path", kYes, kDefault, "", "write DIR/generate-SUBSET.txt instead of stdout"},
    {"--scoring", kYes, kDefault, "bleu|sacrebleu|chrf|ter|wer|rouge|meteor",
     "score of the closing line"},
    {"--sacrebleu", kYes, kDefault, "", "silences a warning, as in fairseq"},
    {"--bpe", kYes, kDefault,
     "gpt2|subword_nmt|fastbpe|sentencepiece|characters|bytes|byte_bpe|hf_byte_bpe",
     "encoding that D- lines are decoded from"},
    {"--bpe-codes", kYes, kDefault, "", "merges of subword_nmt and fastbpe, a local file"},
    {"--bpe-separator", kYes, kDefault, "", "mark of subword_nmt"},
    {"--gpt2-encoder-json", kYes, kDefault, "", "vocabulary of --bpe gpt2, a local file"},
    {"--gpt2-vocab-bpe", kYes, kDefault, "", "accepted: not needed for decoding"},
    {"--sentencepiece-model", kYes, kDefault, "", "accepted: not needed for decoding"},
    {"--tokenizer", kYes, kDefault, "moses|space|nltk",
     "tokenization that D- lines are detokenized from"},
    {"--no-progress-bar", kYes, kDefault, "",
     "no progress bar (there is none unless on a terminal)"},
    {"--log-format", kYes, kDefault, "", "none, simple and json switch the progress bar off"},
    {"--match-source-len", kYes, kDefault, "", "output as long as the source"},
    {"--diverse-beam-groups", kYes, kDefault, "", "diverse beam search with N groups"},
    {"--diverse-beam-strength", kYes, kDefault, "", "penalty for what earlier groups chose"},
    {"--diversity-rate", kYes, kDefault, "", "diverse siblings search"},
    {"--constraints", kYes, kDefault, "",
     "of elbeam-interactive: its input lines hold the constraints"},
    {"--print-alignment", kYes, kDefault, "", "A- lines: hard (bare) or soft"},
    {"--print-step", kYes, kDefault, "", "I- lines: number of steps"},
    {"--replace-unk", kYes, kDefault, "",
     "replace <unk> by its source word ('') or that word's entry in FILE"},
    {"--lm-path", kYes, kDefault, "", "fusion with a language model over the target dictionary"},
    {"--lm-weight", kYes, kDefault, "", "weight of the language model"},
    {"--checkpoint-shard-count", kYes, kDefault, "", "1 only"},
    {"--required-seq-len-multiple", kYes, kDefault, "",
     "count sources as padded to a multiple (--max-len-a)"},
    {"--num-shards", kYes, kDefault, "",
     "translate every Nth batch only (not with --compat fairseq-*)"},
    {"--shard-id", kYes, kDefault, "", "which of the Nth batches"},
    {"--sample-break-mode", kYes, kDefault, "",
     "how language_modeling cuts the data: none, complete, complete_doc, eos"},
    {"--tokens-per-sample", kYes, kDefault, "", "tokens of a block of language_modeling"},
    {"--add-bos-token", kYes, kDefault, "", "language_modeling starts from <s>"},
    {"--shorten-data-split-list", kYes, kDefault, "", "splits that --shorten-method works on"},
    {"--lang-pairs", kYes, kDefault, "", "pairs of languages that the model was trained on"},
    {"--langs", kYes, kDefault, "", "languages, in the order of their tokens"},
    {"--lang-dict", kYes, kDefault, "", "FILE of languages instead of --langs"},
    {"--encoder-langtok", kYes, kDefault, "", "language token of the source: src or tgt"},
    {"--decoder-langtok", kYes, kDefault, "",
     "hypotheses start with the language token of the target"},
    {"--lang-tok-replacing-bos-eos", kYes, kDefault, "", "language tokens stand for bos and eos"},
    {"--lang-tok-style", kYes, kDefault, "",
     "language tokens are __en__ (multilingual) or [en] (mbart)"},
    {"--keep-inference-langtok", kYes, kDefault, "", "print the language token"},
    {"--source-dict", kYes, kDefault, "", "FILE instead of dict.SOURCE.txt"},
    {"--target-dict", kYes, kDefault, "", "FILE instead of dict.TARGET.txt"},
    {"--fixed-dictionary", kYes, kDefault, "", "FILE instead of both dictionaries"},
    {"--prepend-bos", kYes, kDefault, "", "<s> in front of sources and references"},
    {"--future-target", kYes, kDefault, "", "accepted: it is what a language model predicts"},
    {"--shorten-method", kYes, kDefault, "none|truncate", "cut sentences to --tokens-per-sample"},
    {"--fp16", kYes, kDefault, "", "round the weights to half precision; arithmetic stays single"},
    {"--memory-efficient-fp16", kYes, kDefault, "", "accepted, as --fp16"},
    {"--score-reference", kYes, kDefault, "", "score the references instead of translating"},
    {"--model-overrides", kYes, kDefault, "", "Python dict of model options to change"},
    {"--sampling", kYes, kDefault, "", "sample instead of searching, as fairseq with this --seed"},
    {"--sampling-topk", kYes, kDefault, "", "sample from the k likeliest"},
    {"--sampling-topp", kYes, kDefault, "", "sample from the likeliest that make up p together"},
    // not built
    {"--langtoks", kNo, kDefault, "", "language tokens by kind of data"},
    {"--langtoks-specs", kNo, kDefault, "", "language tokens by kind of data"},
    {"--enable-lang-ids", kNo, kDefault, "", "language ids as input of the model"},
    {"--retain-iter-history", kNo, kDefault, "", "E- lines of non-autoregressive models"},
    {"--retain-dropout", kNo, kDefault, "", "dropout while decoding"},
    {"--user-dir", kNo, kDefault, "", "Python plug-in: elbeam runs no Python"},
    {"--num-batch-buckets", kNo, Harmless::kNotPositive, "", "pad sources to few lengths"},
    {"--moses-no-dash-splits", kYes, kDefault, "", "option of --tokenizer moses"},
    {"--moses-no-escape", kYes, kDefault, "", "option of --tokenizer moses"},
    {"--sentencepiece-model-path", kYes, kDefault, "", "option of --bpe byte_bpe"},
    {"--bpe-cased", kNo, kDefault, "", "option of --bpe bert"},
    {"--bpe-vocab-file", kNo, kDefault, "", "option of --bpe bert"},
    {"--bpe-merges", kYes, kDefault, "", "option of --bpe hf_byte_bpe"},
    {"--bpe-vocab", kYes, kDefault, "", "option of --bpe hf_byte_bpe"},
    {"--bpe-add-prefix-space", kYes, kDefault, "", "option of --bpe hf_byte_bpe"},
    {"--sacrebleu-tokenizer", kYes, kDefault, "", "option of --scoring sacrebleu"},
    {"--sacrebleu-lowercase", kYes, kDefault, "", "option of --scoring sacrebleu"},
    {"--sacrebleu-char-level", kYes, kDefault, "", "option of --scoring sacrebleu"},
    {"--bert-score-lang", kNo, kDefault, "", "option of --scoring bert_score"},
    {"--wer-tokenizer", kYes, kDefault, "", "option of --scoring wer"},
    {"--wer-remove-punct", kYes, kDefault, "", "option of --scoring wer"},
    {"--wer-char-level", kYes, kDefault, "", "option of --scoring wer"},
    {"--wer-lowercase", kYes, kDefault, "", "option of --scoring wer"},
    {"--output-dictionary-size", kNo, kDefault, "", "option of --task language_modeling"},
    {"--self-target", kNo, kDefault, "", "option of --task language_modeling"},
    {"--past-target", kNo, kDefault, "", "option of --task language_modeling"},
    {"--pad-to-fixed-length", kNo, kDefault, "", "option of --task language_modeling"},
    {"--pad-to-fixed-bsz", kNo, kDefault, "", "option of --task language_modeling"},
};

bool is_harmless(const FlagPolicy& policy, const ParsedFlags& flags) {
  const FlagSpec& spec = flags.spec(policy.name);
  if (spec.kind == FlagKind::kFlag) return false;
  if (spec.kind == FlagKind::kString) {
    // No default is None, and not "": --replace-unk "" is a mode of its own.
    return !spec.default_value.empty() && *flags.text(policy.name) == spec.default_value;
  }
  const double value = *python_float(*flags.text(policy.name));
  switch (policy.harmless) {
    case Harmless::kDefault:
      return value == python_float(spec.default_value);
    case Harmless::kNegative:
      return value < 0;
    case Harmless::kNotPositive:
      return value <= 0;
    case Harmless::kAtMostMinusOne:
      return value <= -1;
  }
  return false;
}

bool is_one_of(std::string_view list, std::string_view value) {
  while (!list.empty()) {
    const std::size_t end = list.find('|');
    if (list.substr(0, end) == value) return true;
    list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
  }
  return false;
}

// Whether one of a row's alternatives "bpe=gpt2,bpe=bert" holds for the choices of the first pass.
bool condition_holds(std::string_view condition, const ParsedFlags& choices) {
  if (condition.empty()) return true;
  while (!condition.empty()) {
    const std::size_t end = condition.find(',');
    const std::string_view alternative = condition.substr(0, end);
    const std::size_t equals = alternative.find('=');
    const auto value = choices.text(concat("--", alternative.substr(0, equals)));
    if (value && *value == alternative.substr(equals + 1)) return true;
    condition.remove_prefix(end == std::string_view::npos ? condition.size() : end + 1);
  }
  return false;
}

}  // namespace

std::span<const FlagPolicy> flag_policies() noexcept { return kPolicies; }

const FlagPolicy& flag_policy(std::string_view name, const ToolFlags& tool) {
  static constexpr FlagPolicy kIgnored{"", FlagStatus::kNoEffect, kDefault, "", ""};
  for (const FlagPolicy& policy : tool.policies) {
    if (policy.name == name) return policy;
  }
  for (const FlagPolicy& policy : kPolicies) {
    if (policy.name == name) return policy;
  }
  for (const std::string_view ignored : flags_without_effect()) {
    if (ignored == name) return kIgnored;
  }
  fail(ErrorCode::kInternal, "option ", name, " has no policy");
}

std::vector<const FlagSpec*> tool_specs(const ToolFlags& tool) {
  std::vector<const FlagSpec*> specs;
  std::set<std::string_view> skipped;
  for (const FlagSpec& spec : tool.specs) {
    specs.push_back(&spec);
    skipped.insert(spec.name);
  }
  for (const auto& table : {elbeam_flags(), fairseq_flags()}) {
    for (const FlagSpec& spec : table) {
      if (skipped.count(spec.name) == 0) specs.push_back(&spec);
    }
  }
  return specs;
}

ParsedFlags parse_flags(const std::vector<std::string>& arguments, const ToolFlags& tool) {
  std::vector<const FlagSpec*> specs;
  const std::vector<const FlagSpec*> all = tool_specs(tool);
  for (const FlagSpec* spec : all) {
    if (spec->condition.empty()) specs.push_back(spec);
  }
  ParsedFlags choices = parse_arguments(arguments, specs);
  if (choices.flag("--help") || choices.flag("--version")) return choices;
  const std::string task = *choices.text("--task");
  // The options of other tasks are not in the table.
  ELBEAM_CHECK(is_one_of(flag_policy("--task").built_values, task), ErrorCode::kUsage, "--task ",
               task, " is not supported yet (supported: ", flag_policy("--task").built_values, ")");
  for (const FlagSpec* spec : all) {
    if (!spec->condition.empty() && condition_holds(spec->condition, choices)) {
      specs.push_back(spec);
    }
  }
  ParsedFlags flags = parse_arguments(arguments, specs);
  ELBEAM_CHECK(!flags.data().empty(), ErrorCode::kUsage,
               "the following arguments are required: data");
  std::string list;
  for (const std::string_view name : tool.absent) {
    if (flags.given(name)) list += concat(" ", name, " ", flags.text(name).value_or(""));
  }
  for (const std::string& argument : flags.unrecognized()) list += " " + argument;
  if (!list.empty()) {
    fail(ErrorCode::kUsage, "unrecognized arguments:", list);
  }
  return flags;
}

void refuse_what_is_not_built(const ParsedFlags& flags, const ToolFlags& tool) {
  for (const auto& [name, value] : flags.values()) {
    const FlagPolicy& policy = flag_policy(name, tool);
    if (policy.status == FlagStatus::kNotBuilt) {
      ELBEAM_CHECK(is_harmless(policy, flags), ErrorCode::kUsage, name, " is not supported yet (",
                   policy.help, ")");
    }
    ELBEAM_CHECK(policy.built_values.empty() || is_one_of(policy.built_values, value),
                 ErrorCode::kUsage, name, " ", value,
                 " is not supported yet (supported: ", policy.built_values, ")");
  }
}

}  // namespace elbeam::fairseq
