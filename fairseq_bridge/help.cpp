#include "fairseq_bridge/help.hpp"

#include "base/check.hpp"
#include "fairseq_bridge/flag_table.hpp"

#include <boost/program_options.hpp>

#include <algorithm>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

namespace elbeam::fairseq {
namespace {

namespace po = boost::program_options;

std::string description(const FlagSpec& spec, const FlagPolicy& policy) {
  std::string text(policy.help);
  if (!spec.choices.empty()) {
    const std::string_view shown = policy.built_values.empty() ? spec.choices : policy.built_values;
    if (policy.help.find('|') == std::string_view::npos && shown.size() <= 60) {
      text += " (" + std::string(shown) + ")";
    }
  }
  // A URL or OmegaConf's "???" is fairseq's default and none of elbeam's.
  const bool usable = spec.default_value != "???" && spec.default_value.substr(0, 6) != "https:";
  if (!spec.default_value.empty() && usable) text += " [" + std::string(spec.default_value) + "]";
  return text;
}

void add(po::options_description& group, const FlagSpec& spec, const FlagPolicy& policy) {
  // Boost's names are "beam" and "source-lang,s"; a long alias gets a line of its own.
  std::string name(spec.name.substr(2));
  std::string text = description(spec, policy);
  if (spec.alias.size() == 2) {
    name += ",";
    name += spec.alias[1];
  } else if (!spec.alias.empty()) {
    text += "; also " + std::string(spec.alias);
  }
  if (spec.kind == FlagKind::kFlag) {
    group.add_options()(name.c_str(), text.c_str());
    return;
  }
  const char* value = spec.kind == FlagKind::kInt     ? "N"
                      : spec.kind == FlagKind::kFloat ? "X"
                                                      : "TEXT";
  auto* semantic = po::value<std::string>();
  if (spec.arity == Arity::kOptional) {
    semantic->value_name("[" + std::string(value) + "]");
  } else {
    semantic->value_name(value);
  }
  group.add_options()(name.c_str(), semantic, text.c_str());
}

enum class Origin { kElbeam, kFairseq };

bool is_elbeams(const FlagSpec& spec) {
  for (const FlagSpec& own : elbeam_flags()) {
    if (&own == &spec) return true;
  }
  return false;
}

bool belongs_to_translation(const FlagSpec& spec) {
  return spec.condition == "task=translation" || spec.condition.starts_with("task=translation,");
}

void add_all(po::options_description& group, const ToolFlags& tool, Origin origin,
             FlagStatus status) {
  // Conditional options may have several rows.
  std::set<std::string_view> seen(tool.absent.begin(), tool.absent.end());
  const auto specs = tool_specs(tool);
  for (const FlagSpec* spec : specs) {
    if (is_elbeams(*spec) != (origin == Origin::kElbeam)) continue;
    const FlagPolicy& policy = flag_policy(spec->name, tool);
    // Of an option that several tasks have the row of translation is shown.
    if (spec->condition.starts_with("task=") && !belongs_to_translation(*spec) &&
        std::any_of(specs.begin(), specs.end(), [&](const FlagSpec* other) {
          return other->name == spec->name && belongs_to_translation(*other);
        })) {
      continue;
    }
    if (policy.status == status && seen.insert(spec->name).second) add(group, *spec, policy);
  }
}

// Their names in lines of a page's width.
std::string without_effect(const ToolFlags& tool) {
  std::set<std::string_view> names;
  for (const FlagSpec* spec : tool_specs(tool)) {
    if (flag_policy(spec->name, tool).status == FlagStatus::kNoEffect) names.insert(spec->name);
  }
  for (const std::string_view name : tool.absent) names.erase(name);
  std::string text;
  std::string line = " ";
  for (const std::string_view name : names) {
    if (line.size() + name.size() >= 100) {
      text += line + "\n";
      line = " ";
    }
    line += " ";
    line += name;
  }
  return text + line + "\n";
}

}  // namespace

std::string help_text(const ToolHelp& tool) {
  constexpr unsigned kLineLength = 100;
  po::options_description own("elbeam's own options", kLineLength);
  add_all(own, tool.flags, Origin::kElbeam, FlagStatus::kImplemented);
  po::options_description implemented(concat(tool.fairseq_tool, "'s options"), kLineLength);
  add_all(implemented, tool.flags, Origin::kFairseq, FlagStatus::kImplemented);
  po::options_description not_built("Not supported (exit code 2 where they would have an effect)",
                                    kLineLength);
  add_all(not_built, tool.flags, Origin::kElbeam, FlagStatus::kNotBuilt);
  add_all(not_built, tool.flags, Origin::kFairseq, FlagStatus::kNotBuilt);
  std::ostringstream out;
  out << tool.usage << own << '\n' << implemented << '\n' << not_built << '\n';
  out << "Accepted without effect, as in " << tool.fairseq_tool << ":\n"
      << without_effect(tool.flags);
  return out.str();
}

}  // namespace elbeam::fairseq
