// The command line of elbeam-eval-lm, understood: fairseq-eval-lm's options and elbeam's.
#pragma once

#include <elbeam/options.hpp>

#include "fairseq_bridge/batching.hpp"
#include "fairseq_bridge/compat.hpp"
#include "fairseq_bridge/indexed_dataset.hpp"
#include "fairseq_bridge/lm_statistics.hpp"
#include "fairseq_bridge/monolingual_dataset.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace elbeam::fairseq {

struct EvalLmOptions {
  LoadOptions load;
  std::string data;             // folder, or several joined by ':'; the first is used
  std::string subset = "test";  // --gen-subset
  DatasetImpl impl = DatasetImpl::kInferred;
  MonolingualOptions samples;       // tokens_per_sample is already less by the context window
  std::int64_t context_window = 0;  // tokens before a sample that the model sees too
  BatchLimits batch;
  std::int64_t shards = 1;
  std::int64_t shard = 0;
  LmStatisticsOptions statistics;
  bool progress_bar = true;
  bool results_to_log = false;  // stock's only place for them: standard error
};

enum class EvalLmAction { kEvaluate, kHelp, kVersion };

struct EvalLmCommand {
  EvalLmAction action = EvalLmAction::kEvaluate;
  EvalLmOptions options;  // meaningful for kEvaluate
};

// Throws Error as parse_command_line of elbeam-generate does.
EvalLmCommand parse_eval_lm(const std::vector<std::string>& arguments);

// The text of --help.
std::string eval_lm_help();

}  // namespace elbeam::fairseq
