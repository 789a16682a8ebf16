// What elbeam-generate does with each option of the flag table. Every row of the table has exactly
// one policy (a test holds this), so that no option is ever ignored by accident.
#pragma once

#include "fairseq_bridge/argument_parser.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::fairseq {

enum class FlagStatus {
  kImplemented,
  kNoEffect,  // does nothing in fairseq-generate either: accepted and ignored
  kNotBuilt,  // exit code 2 when it would change the result
};

// Which values of a kNotBuilt option change nothing.
enum class Harmless { kDefault, kNegative, kNotPositive, kAtMostMinusOne };

struct FlagPolicy {
  std::string_view name;
  FlagStatus status;
  Harmless harmless;
  std::string_view built_values;  // of an implemented choice: "bleu"; other values are not built
  std::string_view help;
};

// What a tool other than elbeam-generate has of its own: further options, or other rows for those
// of the table; policies that stand above those of the table (fairseq-interactive ignores --quiet,
// for one); and the options of the table that it has not got.
struct ToolFlags {
  std::span<const FlagSpec> specs;
  std::span<const FlagPolicy> policies;
  std::span<const std::string_view> absent;
};

// The rows that a tool's parser may have: its own, elbeam's and fairseq's.
std::vector<const FlagSpec*> tool_specs(const ToolFlags& tool);

// Throws Error(kInternal) for a name that has none.
const FlagPolicy& flag_policy(std::string_view name, const ToolFlags& tool = {});
std::span<const FlagPolicy> flag_policies() noexcept;  // implemented and not built
std::span<const std::string_view> flags_without_effect() noexcept;

// Reads a command line in two passes, as fairseq/options.py:parse_args_and_arch: the choices of the
// first (--task, --bpe ...) decide which other options exist. Throws Error(kUsage) with argparse's
// messages and for tasks whose options are not in the table; not for a missing `data` where --help
// or --version is given.
ParsedFlags parse_flags(const std::vector<std::string>& arguments, const ToolFlags& tool = {});

// Throws Error(kUsage), "--sampling is not supported yet ...", for the first option of the command
// line that would have an effect that is not built.
void refuse_what_is_not_built(const ParsedFlags& flags, const ToolFlags& tool = {});

}  // namespace elbeam::fairseq
