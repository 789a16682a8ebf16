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
    {"--quiet", kNoEffect, kDefault, "", ""},
    {"--required-batch-size-multiple", kNoEffect, kDefault, "", ""},
    {"--required-seq-len-multiple", kNoEffect, kDefault, "", ""},
    {"--results-path", kNoEffect, kDefault, "", ""},
    {"--sacrebleu", kNoEffect, kDefault, "", ""},
    {"--score-reference", kNo, kDefault, "", "fairseq-interactive has no references"},
    {"--scoring", kNoEffect, kDefault, "", ""},
    {"--truncate-source", kNoEffect, kDefault, "", ""},
};

}  // namespace

const ToolFlags& interactive_flags() noexcept {
  static constexpr ToolFlags kFlags{kInteractiveSpecs, kInteractivePolicies, kNotInInteractive};
  return kFlags;
}

}  // namespace elbeam::fairseq
