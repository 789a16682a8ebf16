#include "fairseq_bridge/generate_options.hpp"

#include "base/check.hpp"
#include "fairseq_bridge/argument_parser.hpp"
#include "fairseq_bridge/flag_policy.hpp"

namespace elbeam::fairseq {

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

}  // namespace elbeam::fairseq
