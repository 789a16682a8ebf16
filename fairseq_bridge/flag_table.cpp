#include "fairseq_bridge/flag_table.hpp"

namespace elbeam::fairseq {
namespace {

constexpr FlagSpec kFairseqFlags[] = {
#include "fairseq_bridge/flag_table.inc"
};

constexpr FlagSpec kElbeamFlags[] = {
    {"--attention", "", FlagKind::kString, Arity::kOne, "", "auto", "auto|el|mha", ""},
    {"--bart-hub", "", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
    {"--beam-patience", "", FlagKind::kFloat, Arity::kOne, "", "1.0", "", ""},
    {"--compat", "", FlagKind::kString, Arity::kOne, "", "fixed",
     "fairseq-0.12.2|fairseq-main|fixed", ""},
    {"--coverage-penalty", "", FlagKind::kFloat, Arity::kOne, "", "0.0", "", ""},
    {"--device", "", FlagKind::kString, Arity::kOne, "", "cpu", "", ""},
    {"--dtype", "", FlagKind::kString, Arity::kOne, "", "fp32", "fp32|fp64|bf16|fp16|int8", ""},
    {"--early-stopping", "", FlagKind::kString, Arity::kOne, "", "", "exact|heuristic", ""},
    {"--engine", "", FlagKind::kString, Arity::kOne, "", "native", "native|torchscript", ""},
    {"--help", "-h", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
    {"--lexical-shortlist", "", FlagKind::kString, Arity::kOne, "", "", "", ""},
    {"--max-quality-loss", "", FlagKind::kFloat, Arity::kOne, "", "", "", ""},
    {"--memory-limit", "", FlagKind::kString, Arity::kOne, "", "", "", ""},
    {"--no-shared-sources", "", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
    {"--json", "", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
    {"--pack-cache", "", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
    {"--pack-cache-dir", "", FlagKind::kString, Arity::kOne, "", "", "", ""},
    {"--quality-sample", "", FlagKind::kInt, Arity::kOne, "", "100", "", ""},
    {"--repetition-penalty", "", FlagKind::kFloat, Arity::kOne, "", "1.0", "", ""},
    {"--resume", "", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
    {"--sampling-draws", "", FlagKind::kString, Arity::kOne, "", "fairseq", "fairseq|counter", ""},
    {"--shortlist-best", "", FlagKind::kInt, Arity::kOne, "", "100", "", ""},
    {"--shortlist-first", "", FlagKind::kInt, Arity::kOne, "", "", "", ""},
    {"--stats", "", FlagKind::kString, Arity::kOptional, "-", "", "", ""},
    {"--suppress", "", FlagKind::kString, Arity::kOne, "", "", "", ""},
    {"--threads", "", FlagKind::kInt, Arity::kOne, "", "0", "", ""},
    {"--vocabulary-list", "", FlagKind::kString, Arity::kOne, "", "", "", ""},
    {"--workers", "", FlagKind::kInt, Arity::kOne, "", "1", "", ""},
    {"--version", "", FlagKind::kFlag, Arity::kNone, "", "", "", ""},
};

}  // namespace

std::span<const FlagSpec> fairseq_flags() noexcept { return kFairseqFlags; }
std::span<const FlagSpec> elbeam_flags() noexcept { return kElbeamFlags; }

}  // namespace elbeam::fairseq
