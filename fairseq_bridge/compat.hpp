// The points where stock fairseq surprises its users, and what each --compat does about them.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace elbeam::fairseq {

enum class Compat { kFairseq0122, kFairseqMain, kFixed };

enum class Quirk {
  // data_utils.batch_by_size of fairseq's main branch forgets the last batch when its size is not a
  // multiple of --required-batch-size-multiple: those sentences are never translated.
  kDropRaggedLastBatch,
  // --no-repeat-ngram-size does nothing without fairseq's CUDA extension, because the Python path
  // looks for the n-gram in the padding behind the hypothesis.
  kNgramBlockingIgnored,
  // fairseq-eval-lm takes the value of a bare --remove-bpe for the mark of a token that goes on,
  // and
  // joins nothing.
  kEvalLmBpeMark,
};

struct QuirkRow {
  Quirk quirk;
  bool fairseq_0122;
  bool fairseq_main;
  bool fixed;
  std::string_view warning;  // said once when --compat decides a result
};

std::span<const QuirkRow> quirks() noexcept;
const QuirkRow& quirk_row(Quirk quirk);
bool has_quirk(Compat compat, Quirk quirk);

// "fairseq-0.12.2", "fairseq-main", "fixed".
std::optional<Compat> parse_compat(std::string_view name) noexcept;

}  // namespace elbeam::fairseq
