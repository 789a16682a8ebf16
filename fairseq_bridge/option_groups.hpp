// Groups of options that elbeam-generate and elbeam-interactive read alike. Each function wants the
// flags of a parser that has the options of its group, and throws Error(kUsage) for values out of
// range.
#pragma once

#include <elbeam/options.hpp>

#include "fairseq_bridge/argument_parser.hpp"
#include "fairseq_bridge/batching.hpp"
#include "fairseq_bridge/compat.hpp"
#include "fairseq_bridge/task.hpp"
#include "text/bpe.hpp"
#include "text/tokenizer.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace elbeam::fairseq {

struct OutputOptions {
  std::optional<std::string> post_process;          // --post-process / --remove-bpe
  std::optional<text::BpeOptions> bpe;              // --bpe
  std::optional<text::TokenizerOptions> tokenizer;  // --tokenizer
  std::optional<std::string> results_path;          // folder
  bool quiet = false;
  bool json = false;
  bool progress_bar = true;  // where stderr is a terminal
  bool sacrebleu = false;    // only silences a warning
};

// An integer option that has a default.
std::int64_t required_int(const ParsedFlags& flags, std::string_view name);

// --path, --engine, --attention, --dtype, --threads, --checkpoint-suffix ...
LoadOptions read_load_options(const ParsedFlags& flags);

// --beam, --lenpen ... Quirks of --compat that the flags meet are appended to `met`.
SearchOptions read_search_options(const ParsedFlags& flags, Compat compat, std::vector<Quirk>& met);

// --task, the folder, languages, and what the task has besides.
TaskOptions read_task_options(const ParsedFlags& flags);

// --max-tokens, --batch-size, --required-batch-size-multiple.
BatchLimits read_batch_limits(const ParsedFlags& flags);

// --post-process, --bpe, --quiet, --results-path ...
OutputOptions read_output_options(const ParsedFlags& flags);

// --compat.
Compat read_compat(const ParsedFlags& flags);

// --seed, as torch and numpy take it.
std::int64_t read_seed(const ParsedFlags& flags);

// Throws Error(kUsage) for a --device that is none and Error(kDevice) for one that is not here.
void check_device(const ParsedFlags& flags);

}  // namespace elbeam::fairseq
