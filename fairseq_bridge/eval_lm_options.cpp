#include "fairseq_bridge/eval_lm_options.hpp"

#include "base/check.hpp"
#include "fairseq_bridge/argument_parser.hpp"
#include "fairseq_bridge/help.hpp"
#include "fairseq_bridge/option_groups.hpp"
#include "fairseq_bridge/tool_flags.hpp"

#include <algorithm>
#include <limits>

namespace elbeam::fairseq {
namespace {

constexpr char kUsage[] =
    R"(elbeam-eval-lm: perplexity of a fairseq language model on a data-bin split.

  elbeam-eval-lm DATA-BIN --path checkpoint_best.pt --sample-break-mode eos
  elbeam-eval-lm DATA-BIN --path model.pt --tokens-per-sample 512 --context-window 400

The options and the lines of the result are those of fairseq-eval-lm. They go to standard output
(with --compat fairseq-* to standard error, which is where fairseq's log really goes).

Exit codes: 0 done; 2 wrong options; 3 input or model rejected; 4 out of memory or no such device;
130, 143 interrupted; 70 internal error.

)";

// eval_lm.py takes "subword_nmt", what a bare --remove-bpe gives, for the mark itself. No token
// ends with that, so fairseq then joins nothing.
std::optional<std::string> bpe_mark(const ParsedFlags& flags, QuirkLog& quirks) {
  if (!flags.given("--post-process")) return std::nullopt;
  const std::string symbol = flags.text("--post-process").value();
  ELBEAM_CHECK(symbol == "subword_nmt" || symbol == "@@ ", ErrorCode::kUsage,
               "--post-process=", symbol, " is not implemented (expected subword_nmt or '@@ ')");
  if (symbol == "@@ ") return "@@";
  return quirks.meets(Quirk::kEvalLmBpeMark) ? symbol : "@@";
}

MonolingualOptions sample_options(const ParsedFlags& flags, const EvalLmOptions& options) {
  MonolingualOptions samples;
  samples.break_mode = parse_break_mode(flags.text("--sample-break-mode").value()).value();
  const std::int64_t tokens = required_int(flags, "--tokens-per-sample");
  ELBEAM_CHECK(tokens >= 1, ErrorCode::kUsage, "--tokens-per-sample must be at least 1, got ",
               tokens);
  ELBEAM_CHECK(options.context_window < tokens, ErrorCode::kUsage, "--context-window ",
               options.context_window, " leaves nothing of --tokens-per-sample ", tokens);
  samples.tokens_per_sample = tokens - options.context_window;
  const std::string method = flags.text("--shorten-method").value();
  ELBEAM_CHECK(method != "random_crop", ErrorCode::kUsage,
               "--shorten-method random_crop is not supported");
  // data_utils.maybe_shorten_dataset: no list means every split.
  const std::string splits = flags.text("--shorten-data-split-list").value_or("");
  const bool listed = ("," + splits + ",").find("," + options.subset + ",") != std::string::npos;
  samples.truncate = method == "truncate" && (splits.empty() || listed);
  samples.add_bos_token = flags.flag("--add-bos-token");
  samples.output_size = required_int(flags, "--output-dictionary-size");
  return samples;
}

BatchLimits batch_limits(const ParsedFlags& flags) {
  constexpr std::int64_t kDefaultTokens = 36000;
  BatchLimits batch;
  const std::int64_t max_tokens = flags.integer("--max-tokens").value_or(0);
  batch.max_tokens = max_tokens == 0 ? kDefaultTokens : max_tokens;
  batch.max_sentences = flags.integer("--batch-size").value_or(-1);
  batch.multiple = 1;
  return batch;
}

void read_shards(const ParsedFlags& flags, EvalLmOptions& options) {
  options.shards = std::max(required_int(flags, "--num-shards"),
                            required_int(flags, "--distributed-world-size"));
  options.shard =
      std::max(required_int(flags, "--shard-id"), required_int(flags, "--distributed-rank"));
  ELBEAM_CHECK(options.shard >= 0 && options.shard < options.shards, ErrorCode::kUsage,
               "shard_id must be between 0 and num_shards: --shard-id ", options.shard, " of ",
               options.shards);
}

void check_targets(const ParsedFlags& flags) {
  for (const char* name : {"self", "past"}) {
    ELBEAM_CHECK(!flags.flag(concat("--", name, "-target")), ErrorCode::kUsage,
                 "Unsupported language modeling target: ", name,
                 " (a model that reads from left to right has none but future)");
  }
}

}  // namespace

EvalLmCommand parse_eval_lm(const std::vector<std::string>& arguments) {
  const ParsedFlags flags = parse_flags(arguments, eval_lm_flags());
  EvalLmCommand command;
  if (flags.flag("--help") || flags.flag("--version")) {
    command.action = flags.flag("--help") ? EvalLmAction::kHelp : EvalLmAction::kVersion;
    return command;
  }
  const std::string task = flags.text("--task").value();
  ELBEAM_CHECK(task == "language_modeling", ErrorCode::kUsage, "--task ", task,
               " has no language model (expected language_modeling)");
  refuse_what_is_not_built(flags, eval_lm_flags());
  check_device(flags);
  check_targets(flags);
  EvalLmOptions& options = command.options;
  QuirkLog quirks = read_compat(flags);
  options.results_to_log = quirks.compat() != Compat::kFixed;
  options.load = read_load_options(flags);
  options.data = flags.data();
  options.subset = flags.text("--gen-subset").value();
  if (const auto impl = flags.text("--dataset-impl")) {
    options.impl = parse_dataset_impl(*impl).value();
  }
  options.context_window = std::max<std::int64_t>(required_int(flags, "--context-window"), 0);
  ELBEAM_CHECK(required_int(flags, "--softmax-batch") >= 0, ErrorCode::kUsage,
               "--softmax-batch must be at least 0");
  options.samples = sample_options(flags, options);
  options.batch = batch_limits(flags);
  read_shards(flags, options);
  options.statistics.bpe_mark = bpe_mark(flags, quirks);
  options.statistics.word_probs = flags.flag("--output-word-probs");
  options.statistics.word_stats = flags.flag("--output-word-stats");
  options.progress_bar = read_output_options(flags, quirks).progress_bar;
  return command;
}

std::string eval_lm_help() { return help_text({kUsage, "fairseq-eval-lm", eval_lm_flags()}); }

}  // namespace elbeam::fairseq
