// The command line of elbeam-generate, understood: fairseq-generate's options and elbeam's own.
#pragma once

#include <elbeam/options.hpp>

#include "fairseq_bridge/batching.hpp"
#include "fairseq_bridge/compat.hpp"
#include "fairseq_bridge/option_groups.hpp"
#include "fairseq_bridge/task.hpp"
#include "runtime/scheduler.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace elbeam::fairseq {

// How much options that are not lossless (--dtype int8) may change.
struct QualityOptions {
  std::optional<double> max_loss;  // --max-quality-loss: BLEU points
  std::int64_t sample = 100;       // --quality-sample: sentences; 0: nothing is measured
};

struct GenerateOptions {
  LoadOptions load;
  SearchOptions search;
  TaskOptions task;
  BatchLimits batch;
  runtime::ScheduleOptions schedule;
  OutputOptions output;
  QuirkLog quirks{Compat::kFixed};  // what the options have met so far
  bool skip_invalid_size = false;
  RequestOptions request;
  std::int64_t shards = 1;                   // --distributed-world-size
  std::int64_t shard = 0;                    // --distributed-rank
  std::uint64_t seed = 1;                    // --seed
  std::uint32_t shuffle_seed = 2;            // --seed + 1
  std::optional<std::string> stats_path;     // "-": stderr
  std::optional<std::string> suppress_path;  // --suppress: forbidden sequences, one a line
  bool score_reference = false;
  QualityOptions quality;
};

enum class Action { kGenerate, kHelp, kVersion };

struct CommandLine {
  Action action = Action::kGenerate;
  GenerateOptions options;  // meaningful for kGenerate
};

// Throws Error(kUsage): argparse's messages, "--sampling is not supported yet ...", values out of
// range; Error(kDevice) for a device that this build has not.
CommandLine parse_command_line(const std::vector<std::string>& arguments);

// The text of --help.
std::string help_text();

}  // namespace elbeam::fairseq
