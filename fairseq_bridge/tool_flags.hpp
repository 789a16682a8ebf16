// How the options of fairseq's other tools differ from those of fairseq-generate.
#pragma once

#include "fairseq_bridge/flag_policy.hpp"

namespace elbeam::fairseq {

const ToolFlags& eval_lm_flags() noexcept;
const ToolFlags& interactive_flags() noexcept;

}  // namespace elbeam::fairseq
