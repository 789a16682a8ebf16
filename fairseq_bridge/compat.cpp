#include "fairseq_bridge/compat.hpp"

#include "base/check.hpp"
#include "fairseq_bridge/fairseq_log.hpp"

#include <algorithm>

namespace elbeam::fairseq {
namespace {

// clang-format off
constexpr QuirkRow kQuirks[] = {
    {Quirk::kDropRaggedLastBatch, "ragged-batch", false, true, false,
     "the main branch drops the last batch when its size is no multiple of "
     "--required-batch-size-multiple",
     "its sentences are kept"},
    {Quirk::kNgramBlockingIgnored, "ngram-blocking", true, true, false,
     "without its CUDA extension --no-repeat-ngram-size has no effect, because the Python path "
     "looks for the n-gram in the padding behind the hypothesis",
     "repeated n-grams are forbidden, as by the CUDA extension"},
    {Quirk::kShardsIgnored, "num-shards", true, true, false,
     "--num-shards and --shard-id have no effect; --distributed-world-size and --distributed-rank "
     "choose the batches",
     "they choose the batches, too"},
    {Quirk::kSacrebleuIgnored, "sacrebleu-flag", true, true, true,
     "--sacrebleu does not change the score, only --scoring sacrebleu does",
     "the same"},
    {Quirk::kNbestAboveBeam, "nbest-above-beam", true, true, true,
     "--nbest above --beam prints as many hypotheses as the beam has",
     "the same"},
    {Quirk::kPaddedMaxLen, "padded-max-len", true, true, true,
     "--max-len-a counts the longest source of the batch and not the sentence's own, so that "
     "results depend on the batch size",
     "the same"},
    {Quirk::kMatchedLengthIsFree, "free-eos", true, true, true,
     "--match-source-len gives the forced end of the sentence the probability 1",
     "the same"},
    {Quirk::kSourceLengthCountsEos, "source-length", false, true, true,
     "the main branch's --match-source-len counts the source's end as a token, 0.12.2 does not",
     "it is counted"},
    {Quirk::kDiversityCumulates, "cumulative-diversity", false, true, true,
     "the main branch's --diverse-beam-groups punishes what earlier groups chose in all steps, "
     "0.12.2 in the same step alone",
     "all steps count"},
    {Quirk::kDiversityIndexesIds, "diverse-batches", false, true, false,
     "the main branch's --diverse-beam-groups looks up the penalties of a batch by the numbers "
     "that its sentences have in the data set (mixing them up, or IndexError: index out of bounds)",
     "every batch has its own penalties"},
    {Quirk::kReplaceUnkFile, "replace-unk-file", true, true, false,
     "--replace-unk without a value opens a file of the name '@@ '",
     "source words are copied, as with --replace-unk ''"},
    {Quirk::kReplaceUnkFails, "replace-unk-alignment", true, true, false,
     "--replace-unk cannot replace an <unk> that a hypothesis has: without --print-alignment there "
     "is no alignment (IndexError), with it the alignment is a list of pairs (TypeError)",
     "the source word with the most attention replaces it, before --post-process joins sub-words"},
    {Quirk::kConstraintsFail, "constraints", true, true, false,
     "--constraints reads constraints from the input lines of fairseq-interactive; "
     "fairseq-generate has none (TypeError: 'NoneType' object is not iterable)",
     "elbeam-interactive takes them"},
    {Quirk::kPrintStepFails, "print-step", true, true, false,
     "--print-step asks for the iterations of a non-autoregressive model, which other hypotheses "
     "do not have (KeyError: 'steps')",
     "I- lines tell the number of steps, which is that of the tokens"},
    {Quirk::kSoftReferenceAlignmentFails, "soft-reference-alignment", true, true, false,
     "--score-reference with --print-alignment soft prints a hard alignment as a soft one "
     "(TypeError)",
     "the soft alignment is printed"},
    {Quirk::kInteractiveSoftAlignmentFails, "interactive-soft-alignment", true, true, false,
     "fairseq-interactive prints a soft alignment as a hard one (ValueError: too many values to "
     "unpack)",
     "the soft alignment is printed"},
    {Quirk::kLanguageModelAlignmentFails, "language-model-alignment", true, true, true,
     "--print-alignment needs attention to a source, and a language model has none (IndexError)",
     "the same"},
    {Quirk::kWholeLineIsPrefix, "whole-line-prefix", true, true, true,
     "--task language_modeling forces the whole line before it goes on, unless --prefix-size cuts "
     "it, and --max-len-b counts the forced tokens",
     "the same"},
    {Quirk::kPretrainedBartFails, "pretrained-bart", true, true, false,
     "--task translation_from_pretrained_bart cannot load its data (AttributeError: "
     "'TranslationFromPretrainedBARTTask' object has no attribute 'args')",
     "language tokens are added and hypotheses end with the target's, as the task says"},
    {Quirk::kHalfPrecisionIsSingle, "fp16", true, true, true,
     "--fp16 computes in half precision",
     "weights are rounded to half precision and arithmetic stays in single precision"},
    {Quirk::kEvalLmBpeMark, "eval-lm-bpe-mark", true, true, false,
     "fairseq-eval-lm takes the value of a bare --remove-bpe for the mark of a token that goes on, "
     "and joins nothing; --remove-bpe '@@ ' works",
     "sub-words are joined"},
};
// clang-format on

}  // namespace

std::span<const QuirkRow> quirks() noexcept { return kQuirks; }

const QuirkRow& quirk_row(Quirk quirk) {
  for (const QuirkRow& row : kQuirks) {
    if (row.quirk == quirk) return row;
  }
  fail(ErrorCode::kInternal, "quirk ", static_cast<int>(quirk), " is not in the table");
}

bool has_quirk(Compat compat, Quirk quirk) {
  const QuirkRow& row = quirk_row(quirk);
  switch (compat) {
    case Compat::kFairseq0122:
      return row.fairseq_0122;
    case Compat::kFairseqMain:
      return row.fairseq_main;
    case Compat::kFixed:
      return row.fixed;
  }
  return row.fixed;
}

std::optional<Compat> parse_compat(std::string_view name) noexcept {
  if (name == "fairseq-0.12.2") return Compat::kFairseq0122;
  if (name == "fairseq-main") return Compat::kFairseqMain;
  if (name == "fixed") return Compat::kFixed;
  return std::nullopt;
}

bool QuirkLog::meets(Quirk quirk) {
  if (compat_ == Compat::kFixed && std::find(said_.begin(), said_.end(), quirk) == said_.end()) {
    said_.push_back(quirk);
    const QuirkRow& row = quirk_row(quirk);
    fairseq_log(
        LogLevel::kWarning, "elbeam.compat",
        concat(row.name, ": in fairseq ", row.fairseq_does, "; --compat fixed: ", row.fixed_does));
  }
  return has_quirk(compat_, quirk);
}

void QuirkLog::fails_at(Quirk quirk) {
  if (!meets(quirk)) return;
  const QuirkRow& row = quirk_row(quirk);
  fail(compat_ == Compat::kFixed ? ErrorCode::kUnsupported : ErrorCode::kFairseqFails,
       compat_ == Compat::kFixed ? "" : "fairseq fails here: ", row.fairseq_does);
}

}  // namespace elbeam::fairseq
