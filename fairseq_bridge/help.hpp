// The text of --help.
#pragma once

#include "fairseq_bridge/flag_policy.hpp"

#include <string>
#include <string_view>

namespace elbeam::fairseq {

struct ToolHelp {
  std::string_view usage;         // what stands above the options
  std::string_view fairseq_tool;  // "fairseq-generate"
  const ToolFlags& flags;
};

std::string help_text(const ToolHelp& tool);

}  // namespace elbeam::fairseq
