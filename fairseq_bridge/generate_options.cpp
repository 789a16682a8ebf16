#include "fairseq_bridge/generate_options.hpp"

#include "base/check.hpp"
#include "fairseq_bridge/argument_parser.hpp"
#include "fairseq_bridge/flag_policy.hpp"
#include "fairseq_bridge/help.hpp"
#include "fairseq_bridge/schedule_options.hpp"

#include <cmath>

namespace elbeam::fairseq {
namespace {

constexpr std::string_view kUsage =
    R"(elbeam-generate: translate a fairseq data-bin split with a fairseq model.

  elbeam-generate DATA-BIN --path checkpoint_best.pt [options]
  elbeam-generate DATA-BIN --path model.pt --beam 5 --remove-bpe > output.txt

The options, the output lines (S-, T-, H-, D-, P-) and the closing score are those of
fairseq-generate. Results go to standard output, log lines to standard error.

Exit codes: 0 done; 1 fairseq fails here (--compat); 2 wrong options; 3 input or model rejected;
4 out of memory or no such device; 5 --max-quality-loss exceeded; 130, 143 interrupted; 70 internal
error.

)";

void check_shard(const char* number, std::int64_t shard, const char* count, std::int64_t shards) {
  ELBEAM_CHECK(shards >= 1 && shard >= 0 && shard < shards, ErrorCode::kUsage, number, " ", shard,
               " is outside ", count, " ", shards);
}

void read_shard(const ParsedFlags& flags, QuirkLog& quirks, GenerateOptions& options) {
  options.shards = required_int(flags, "--distributed-world-size");
  options.shard = required_int(flags, "--distributed-rank");
  check_shard("--distributed-rank", options.shard, "--distributed-world-size", options.shards);
  const std::int64_t shards = required_int(flags, "--num-shards");
  const std::int64_t shard = required_int(flags, "--shard-id");
  if ((shards == 1 && shard == 0) || quirks.meets(Quirk::kShardsIgnored)) return;
  check_shard("--shard-id", shard, "--num-shards", shards);
  ELBEAM_CHECK(options.shards == 1, ErrorCode::kUsage,
               "--num-shards and --distributed-world-size both choose batches: give one of them");
  options.shards = shards;
  options.shard = shard;
}

QualityOptions read_quality(const ParsedFlags& flags) {
  QualityOptions quality;
  quality.max_loss = flags.real("--max-quality-loss");
  ELBEAM_CHECK(!quality.max_loss || (*quality.max_loss >= 0 && std::isfinite(*quality.max_loss)),
               ErrorCode::kUsage, "--max-quality-loss must be at least 0 BLEU points, got ",
               *quality.max_loss);
  quality.sample = required_int(flags, "--quality-sample");
  ELBEAM_CHECK(quality.sample >= 0, ErrorCode::kUsage,
               "--quality-sample must be at least 0 sentences, got ", quality.sample);
  return quality;
}

// fairseq_cli/generate.py:main and what its run comes to.
void check_combinations(const ParsedFlags& flags, QuirkLog& quirks, GenerateOptions& options) {
  if (flags.given("--constraints")) {
    quirks.fails_at(Quirk::kConstraintsFail);
    fail(ErrorCode::kUsage,
         "--constraints: elbeam-generate has no constraints to read; "
         "elbeam-interactive takes them from its input lines");
  }
  if (options.load.half_weights) quirks.meets(Quirk::kHalfPrecisionIsSingle);
  if (options.output.sacrebleu) quirks.meets(Quirk::kSacrebleuIgnored);
  if (flags.flag("--print-step")) {
    quirks.fails_at(Quirk::kPrintStepFails);
    options.output.steps = true;
  }
  ELBEAM_CHECK(!options.output.replace_unk || options.task.data.impl == DatasetImpl::kRaw,
               ErrorCode::kUsage, "--replace-unk requires a raw text dataset (--dataset-impl=raw)");
  const bool language_model = options.task.name == "language_modeling";
  if (language_model) {
    quirks.meets(Quirk::kWholeLineIsPrefix);
    if (needs_attention(options.output)) quirks.fails_at(Quirk::kLanguageModelAlignmentFails);
  }
  if (options.score_reference && options.output.alignment == PrintAlignment::kSoft) {
    quirks.fails_at(Quirk::kSoftReferenceAlignmentFails);
  }
  ELBEAM_CHECK(!options.score_reference || !options.load.vocabulary.active(), ErrorCode::kUsage,
               "--score-reference scores all tokens, and --vocabulary-list and "
               "--lexical-shortlist leave tokens out");
  // SequenceScorer is given the models alone.
  if (options.score_reference) options.load.lm_path.clear();
}

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
  QuirkLog& quirks = options.quirks = read_compat(flags);
  options.load = read_load_options(flags);
  options.search = read_search_options(flags, quirks);
  options.task = read_task_options(flags, quirks);
  options.batch = read_batch_limits(flags);
  options.schedule = read_schedule_options(flags, options.batch);
  options.load.memory_limit = options.schedule.memory_limit / options.schedule.workers;
  options.output = read_output_options(flags, quirks);
  options.request = read_request_options(flags);
  options.skip_invalid_size = flags.flag("--skip-invalid-size-inputs-valid-test");
  options.stats_path = flags.text("--stats");
  options.suppress_path = flags.text("--suppress");
  options.score_reference = flags.flag("--score-reference");
  options.quality = read_quality(flags);
  read_shard(flags, quirks, options);
  options.seed = static_cast<std::uint64_t>(read_seed(flags));
  options.shuffle_seed = static_cast<std::uint32_t>(read_seed(flags) + 1);
  check_combinations(flags, quirks, options);
  return command_line;
}

std::string help_text() { return help_text({kUsage, "fairseq-generate", {}}); }

}  // namespace elbeam::fairseq
