#include "fairseq_bridge/generate_options.hpp"

#include "base/check.hpp"
#include "fairseq_bridge/argument_parser.hpp"
#include "fairseq_bridge/flag_policy.hpp"
#include "fairseq_bridge/help.hpp"

namespace elbeam::fairseq {
namespace {

constexpr std::string_view kUsage =
    R"(elbeam-generate: translate a fairseq data-bin split with a fairseq model.

  elbeam-generate DATA-BIN --path checkpoint_best.pt [options]
  elbeam-generate DATA-BIN --path model.pt --beam 5 --remove-bpe > output.txt

The options, the output lines (S-, T-, H-, D-, P-) and the closing score are those of
fairseq-generate. Results go to standard output, log lines to standard error.

Exit codes: 0 done; 2 wrong options; 3 input or model rejected; 4 out of memory or no such device;
130, 143 interrupted; 70 internal error.

)";

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments) {
  const ParsedFlags flags = parse_flags(arguments);
  CommandLine command_line;
  if (flags.flag("--help") || flags.flag("--version")) {
    command_line.action = flags.flag("--help") ? Action::kHelp : Action::kVersion;
    return command_line;
  }
  refuse_what_is_not_built(flags);
  check_device(flags);
  GenerateOptions& options = command_line.options;
  options.compat = read_compat(flags);
  options.load = read_load_options(flags);
  options.search = read_search_options(flags, options.compat, options.warn_about);
  options.task = read_task_options(flags);
  options.batch = read_batch_limits(flags);
  options.output = read_output_options(flags);
  options.skip_invalid_size = flags.flag("--skip-invalid-size-inputs-valid-test");
  options.request.left_pad_target = flags.flag("--left-pad-target");
  options.request.prefix_size = required_int(flags, "--prefix-size");
  options.stats_path = flags.text("--stats");
  options.shards = required_int(flags, "--distributed-world-size");
  options.shard = required_int(flags, "--distributed-rank");
  ELBEAM_CHECK(options.shards >= 1 && options.shard >= 0 && options.shard < options.shards,
               ErrorCode::kUsage, "--distributed-rank ", options.shard,
               " is outside --distributed-world-size ", options.shards);
  options.shuffle_seed = static_cast<std::uint32_t>(read_seed(flags) + 1);
  return command_line;
}

std::string help_text() { return help_text({kUsage, "fairseq-generate", {}}); }

}  // namespace elbeam::fairseq
