// Groups of options that elbeam-generate and elbeam-interactive read alike. Each function wants the
// flags of a parser that has the options of its group, and throws Error(kUsage) for values out of
// range.
#pragma once

#include <elbeam/options.hpp>

#include "fairseq_bridge/argument_parser.hpp"
#include "fairseq_bridge/batching.hpp"
#include "fairseq_bridge/compat.hpp"
#include "fairseq_bridge/task.hpp"
#include "fairseq_bridge/text_scorer.hpp"
#include "text/bpe.hpp"
#include "text/tokenizer.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace elbeam::fairseq {

enum class PrintAlignment { kNone, kHard, kSoft };

struct OutputOptions {
  std::optional<std::string> post_process;          // --post-process / --remove-bpe
  std::optional<text::BpeOptions> bpe;              // --bpe
  std::optional<text::TokenizerOptions> tokenizer;  // --tokenizer
  std::optional<std::string> results_path;          // folder
  bool quiet = false;
  bool json = false;
  bool progress_bar = true;  // where stderr is a terminal
  bool sacrebleu = false;    // only silences a warning
  PrintAlignment alignment = PrintAlignment::kNone;
  // --replace-unk: a file of word pairs, or "" to copy source words.
  std::optional<std::string> replace_unk;
  bool replace_unk_fails = false;  // stops at the first <unk>, as fairseq does
  bool steps = false;              // --print-step
  ScoringOptions scoring;          // --scoring and what belongs to it
};

// Whether hypotheses need attention to be printed.
bool needs_attention(const OutputOptions& options) noexcept;

// An integer option that has a default.
std::int64_t required_int(const ParsedFlags& flags, std::string_view name);

// --path, --engine, --attention, --dtype, --threads, --checkpoint-suffix, --lm-path ...
LoadOptions read_load_options(const ParsedFlags& flags);

// --beam, --lenpen, the strategy ... (not --suppress, which needs the dictionary).
SearchOptions read_search_options(const ParsedFlags& flags, QuirkLog& quirks);

// --task, the folder, languages, and what the task has besides.
TaskOptions read_task_options(const ParsedFlags& flags, QuirkLog& quirks);

// --prefix-size and how batches are padded.
RequestOptions read_request_options(const ParsedFlags& flags);

// --max-tokens, --batch-size, --required-batch-size-multiple.
BatchLimits read_batch_limits(const ParsedFlags& flags);

// --post-process, --bpe, --quiet, --results-path ...
OutputOptions read_output_options(const ParsedFlags& flags, QuirkLog& quirks);

// --suppress: lines of target words that may not be generated; none without a file. Throws
// Error(kIo, kFormat) with file and line: an empty line, a word that is not in the dictionary.
std::vector<std::vector<std::int64_t>> read_suppressed(const std::optional<std::string>& file,
                                                       const text::Dictionary& dictionary);

// --compat.
QuirkLog read_compat(const ParsedFlags& flags);

// --seed, as torch and numpy take it.
std::int64_t read_seed(const ParsedFlags& flags);

// Throws Error(kUsage) for a --device that is none and Error(kDevice) for one that is not here.
void check_device(const ParsedFlags& flags);

}  // namespace elbeam::fairseq
