#include "fairseq_bridge/compat.hpp"

#include "base/check.hpp"

namespace elbeam::fairseq {
namespace {

constexpr QuirkRow kQuirks[] = {
    {Quirk::kDropRaggedLastBatch, false, true, false,
     "fairseq's main branch would drop the last batch, because its size is no multiple of "
     "--required-batch-size-multiple; its sentences are kept (--compat fairseq-main drops them)"},
    {Quirk::kNgramBlockingIgnored, true, true, false,
     "--no-repeat-ngram-size has no effect, as in fairseq without its CUDA extension (--compat)"},
    {Quirk::kEvalLmBpeMark, true, true, false,
     "fairseq-eval-lm would join no sub-words with --remove-bpe or --remove-bpe subword_nmt, only "
     "with --remove-bpe '@@ '; here they are joined (--compat fairseq-main joins none)"},
};

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

}  // namespace elbeam::fairseq
