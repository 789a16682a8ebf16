// The command line of elbeam-interactive, understood: fairseq-interactive's options and elbeam's.
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

struct InteractiveOptions {
  LoadOptions load;
  SearchOptions search;
  TaskOptions task;
  BatchLimits batch;
  runtime::ScheduleOptions schedule;
  OutputOptions output;
  std::string input = "-";       // --input
  std::int64_t buffer_size = 1;  // lines a block
  bool skip_invalid_size = false;
  std::uint64_t seed = 1;           // --seed
  bool constraints = false;         // --constraints: what follows a TAB must occur in the output
  QuirkLog quirks{Compat::kFixed};  // what the options have met so far
  std::optional<std::string> suppress_path;  // --suppress: forbidden sequences, one a line
};

enum class InteractiveAction { kTranslate, kHelp, kVersion };

struct InteractiveCommand {
  InteractiveAction action = InteractiveAction::kTranslate;
  InteractiveOptions options;  // meaningful for kTranslate
};

// Throws Error as parse_command_line of elbeam-generate does.
InteractiveCommand parse_interactive(const std::vector<std::string>& arguments);

// The text of --help.
std::string interactive_help();

}  // namespace elbeam::fairseq
