#include "fairseq_bridge/interactive_options.hpp"

#include "base/check.hpp"
#include "fairseq_bridge/argument_parser.hpp"
#include "fairseq_bridge/help.hpp"
#include "fairseq_bridge/schedule_options.hpp"
#include "fairseq_bridge/tool_flags.hpp"

namespace elbeam::fairseq {
namespace {

constexpr char kUsage[] =
    R"(elbeam-interactive: translate lines of text with a fairseq model.

  elbeam-interactive DATA-BIN --path checkpoint_best.pt [options] < input.txt
  elbeam-interactive DATA-BIN --path model.pt --input input.txt --buffer-size 64 --batch-size 16

Of the folder DATA-BIN only the dictionaries are read. The options and the output lines (S-, W-,
C-, H-, D-, P-) are those of fairseq-interactive. Results go to standard output after each block of
--buffer-size lines, log lines to standard error.

Exit codes: 0 done; 1 fairseq fails here (--compat); 2 wrong options; 3 input or model rejected;
4 out of memory or no such device; 130, 143 interrupted; 70 internal error.

)";

BatchLimits batch_limits(const ParsedFlags& flags, std::int64_t buffer_size) {
  const auto max_tokens = flags.integer("--max-tokens");
  auto batch_size = flags.integer("--batch-size");
  if (!max_tokens && !batch_size) batch_size = 1;
  ELBEAM_CHECK(!batch_size || *batch_size <= buffer_size, ErrorCode::kUsage,
               "--batch-size cannot be larger than --buffer-size (", *batch_size, " > ",
               buffer_size, ")");
  BatchLimits batch;
  if (max_tokens) batch.max_tokens = *max_tokens;
  if (batch_size) batch.max_sentences = *batch_size;
  batch.multiple = 1;
  return batch;
}

void read_constraints(const ParsedFlags& flags, InteractiveOptions& options) {
  const auto constraints = flags.text("--constraints");
  if (!constraints) return;
  ELBEAM_CHECK(options.search.strategy == Strategy::kBeam, ErrorCode::kUsage,
               "--constraints cannot be used together with another search strategy");
  ELBEAM_CHECK(options.task.name != "language_modeling", ErrorCode::kUsage,
               "Constrained decoding with the language_modeling task is not supported");
  options.constraints = true;
  options.search.strategy =
      *constraints == "unordered" ? Strategy::kConstrainedUnordered : Strategy::kConstrainedOrdered;
}

}  // namespace

InteractiveCommand parse_interactive(const std::vector<std::string>& arguments) {
  const ParsedFlags flags = parse_flags(arguments, interactive_flags());
  InteractiveCommand command;
  if (flags.flag("--help") || flags.flag("--version")) {
    command.action = flags.flag("--help") ? InteractiveAction::kHelp : InteractiveAction::kVersion;
    return command;
  }
  refuse_what_is_not_built(flags, interactive_flags());
  check_device(flags);
  InteractiveOptions& options = command.options;
  QuirkLog& quirks = options.quirks = read_compat(flags);
  options.load = read_load_options(flags);
  options.search = read_search_options(flags, quirks);
  options.task = read_task_options(flags, quirks);
  options.buffer_size = std::max<std::int64_t>(required_int(flags, "--buffer-size"), 1);
  options.batch = batch_limits(flags, options.buffer_size);
  options.schedule = read_schedule_options(flags, options.batch);
  options.load.memory_limit = options.schedule.memory_limit / options.schedule.workers;
  options.output = read_output_options(flags, quirks);
  options.output.quiet = false;  // fairseq-interactive reads neither
  options.output.results_path.reset();
  options.input = flags.text("--input").value();
  options.skip_invalid_size = flags.flag("--skip-invalid-size-inputs-valid-test");
  options.seed = static_cast<std::uint64_t>(read_seed(flags));
  options.suppress_path = flags.text("--suppress");
  options.load.lm_path.clear();  // fairseq-interactive does not read it
  read_constraints(flags, options);
  if (options.output.alignment == PrintAlignment::kSoft) {
    quirks.fails_at(Quirk::kInteractiveSoftAlignmentFails);
  }
  if (options.task.name == "language_modeling" && needs_attention(options.output)) {
    quirks.fails_at(Quirk::kLanguageModelAlignmentFails);
  }
  return command;
}

std::string interactive_help() {
  return help_text({kUsage, "fairseq-interactive", interactive_flags()});
}

}  // namespace elbeam::fairseq
