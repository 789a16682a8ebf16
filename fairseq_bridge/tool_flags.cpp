#include "fairseq_bridge/tool_flags.hpp"

namespace elbeam::fairseq {
namespace {

#include "fairseq_bridge/tool_flags.inc"

constexpr FlagStatus kYes = FlagStatus::kImplemented;
constexpr FlagStatus kNoEffect = FlagStatus::kNoEffect;
constexpr FlagStatus kNo = FlagStatus::kNotBuilt;
constexpr Harmless kDefault = Harmless::kDefault;

constexpr FlagSpec kInteractiveSpecs[] = {
    {"--buffer-size", "", FlagKind::kInt, Arity::kOne, "", "0", "", ""},
    {"--input", "", FlagKind::kString, Arity::kOne, "", "-", "", ""},
};

// What fairseq-interactive does otherwise than fairseq-generate. It parses and never reads the
// options without effect.
constexpr FlagPolicy kInteractivePolicies[] = {
    {"--buffer-size", kYes, kDefault, "", "lines that are read before they are translated"},
    {"--input", kYes, kDefault, "", "file of the lines; - is standard input"},
    {"--batch-size", kYes, kDefault, "", "most lines a batch, at most --buffer-size [1]"},
    {"--max-quality-loss", kNo, kDefault, "", "there are no references"},
    {"--max-tokens", kYes, kDefault, "", "most tokens a batch, padding included"},
    {"--constraints", kYes, kDefault, "",
     "what follows a TAB in a line must occur in its output, in this order or in any"},
    {"--dataset-impl", kNoEffect, kDefault, "", ""},
    {"--distributed-rank", kNoEffect, kDefault, "", ""},
    {"--distributed-world-size", kNoEffect, kDefault, "", ""},
    {"--gen-subset", kNoEffect, kDefault, "", ""},
    {"--left-pad-source", kNoEffect, kDefault, "", ""},
    {"--left-pad-target", kNoEffect, kDefault, "", ""},
    {"--lm-path", kNoEffect, kDefault, "", ""},
    {"--log-format", kNoEffect, kDefault, "", ""},
    {"--no-progress-bar", kNoEffect, kDefault, "", ""},
    {"--num-batch-buckets", kNoEffect, kDefault, "", ""},
    {"--prefix-size", kNoEffect, kDefault, "", ""},
    {"--print-step", kNoEffect, kDefault, "", ""},
    {"--quality-sample", kNo, kDefault, "", "for elbeam-generate"},
    {"--quiet", kNoEffect, kDefault, "", ""},
    {"--required-batch-size-multiple", kNoEffect, kDefault, "", ""},
    {"--required-seq-len-multiple", kNoEffect, kDefault, "", ""},
    {"--results-path", kNoEffect, kDefault, "", ""},
    {"--sacrebleu", kNoEffect, kDefault, "", ""},
    {"--score-reference", kNo, kDefault, "", "fairseq-interactive has no references"},
    {"--scoring", kNoEffect, kDefault, "", ""},
    {"--truncate-source", kNoEffect, kDefault, "", ""},
};

constexpr FlagSpec kEvalLmSpecs[] = {
    {"--context-window", "", FlagKind::kInt, Arity::kOne, "", "0", "", ""},
    {"--output-word-probs", "", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
    {"--output-word-stats", "", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
    {"--softmax-batch", "", FlagKind::kInt, Arity::kOne, "", "9223372036854775807", "", ""},
    {"--task", "", FlagKind::kString, Arity::kOne, "", "language_modeling", "", ""},
};

constexpr FlagPolicy kEvalLmPolicies[] = {
    {"--add-bos-token", kYes, kDefault, "", "<s> before each sample"},
    {"--batch-size", kYes, kDefault, "", "most samples a batch"},
    {"--bpe", kNoEffect, kDefault, "", ""},
    {"--bart-hub", kNo, kDefault, "", "for generation"},
    {"--beam-patience", kNo, kDefault, "", "for generation"},
    {"--coverage-penalty", kNo, kDefault, "", "for generation"},
    {"--early-stopping", kNo, kDefault, "", "for generation"},
    {"--repetition-penalty", kNo, kDefault, "", "for generation"},
    {"--suppress", kNo, kDefault, "", "for generation"},
    {"--context-window", kYes, kDefault, "",
     "tokens before a sample that the model sees too; --tokens-per-sample counts them"},
    {"--dataset-impl", kYes, kDefault, "", "format of the data; inferred"},
    {"--future-target", kYes, kDefault, "", "predict the next token: the default"},
    {"--gen-subset", kYes, kDefault, "", "split to evaluate"},
    {"--json", kNo, kDefault, "", "for generation"},
    {"--max-tokens", kYes, kDefault, "", "most tokens a batch, padding included [36000]"},
    {"--lexical-shortlist", kNo, kDefault, "", "for generation"},
    {"--max-quality-loss", kNo, kDefault, "", "for generation"},
    {"--no-shared-sources", kNoEffect, kDefault, "", ""},
    {"--memory-limit", kNo, kDefault, "", "for generation"},
    {"--num-shards", kYes, kDefault, "", "evaluate every Nth batch only"},
    {"--output-dictionary-size", kYes, kDefault, "", "the first N types can be predicted"},
    {"--output-word-probs", kYes, kDefault, "", "a line of words and their log-probabilities"},
    {"--output-word-stats", kYes, kDefault, "", "a line for each word"},
    {"--pad-to-fixed-bsz", kNo, kDefault, "", "rows of padding; fairseq-eval-lm fails on them"},
    {"--pad-to-fixed-length", kNoEffect, kDefault, "", ""},
    {"--past-target", kYes, kDefault, "", "refused: no model here predicts it"},
    {"--post-process", kYes, kDefault, "", "score words: subword_nmt (bare) or '@@ '"},
    {"--quality-sample", kNo, kDefault, "", "for generation"},
    {"--quiet", kNoEffect, kDefault, "", ""},
    {"--required-batch-size-multiple", kNoEffect, kDefault, "", ""},
    {"--results-path", kNoEffect, kDefault, "", ""},
    {"--sample-break-mode", kYes, kDefault, "", "what a sample is"},
    {"--scoring", kNoEffect, kDefault, "", ""},
    {"--seed", kNoEffect, kDefault, "", ""},
    {"--self-target", kYes, kDefault, "", "refused: no model here predicts it"},
    {"--shard-id", kYes, kDefault, "", "which of the Nth batches"},
    {"--shorten-data-split-list", kYes, kDefault, "", "splits that --shorten-method is for; all"},
    {"--shorten-method", kYes, kDefault, "none|truncate", "sentences above --tokens-per-sample"},
    {"--skip-invalid-size-inputs-valid-test", kNoEffect, kDefault, "", ""},
    {"--softmax-batch", kYes, kDefault, "", "accepted: memory does not depend on it"},
    {"--shortlist-best", kNo, kDefault, "", "for generation"},
    {"--shortlist-first", kNo, kDefault, "", "for generation"},
    {"--stats", kNo, kDefault, "", "for generation"},
    {"--vocabulary-list", kNo, kDefault, "", "for generation"},
    {"--task", kYes, kDefault, "language_modeling", "language_modeling"},
    {"--tokenizer", kNoEffect, kDefault, "", ""},
    {"--tokens-per-sample", kYes, kDefault, "", "most tokens a sample"},
    {"--sampling-draws", kNo, kDefault, "", "for generation"},
    {"--workers", kNo, kDefault, "", "for generation"},
};

}  // namespace

const ToolFlags& eval_lm_flags() noexcept {
  static constexpr ToolFlags kFlags{kEvalLmSpecs, kEvalLmPolicies, kNotInEvalLm};
  return kFlags;
}

const ToolFlags& interactive_flags() noexcept {
  static constexpr ToolFlags kFlags{kInteractiveSpecs, kInteractivePolicies, kNotInInteractive};
  return kFlags;
}

}  // namespace elbeam::fairseq
