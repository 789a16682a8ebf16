#include "fairseq_bridge/flag_policy.hpp"
#include "fairseq_bridge/flag_table.hpp"
#include "fairseq_bridge/generate_options.hpp"

#include <boost/program_options.hpp>

#include <set>
#include <sstream>
#include <string>
#include <string_view>

namespace elbeam::fairseq {
namespace {

namespace po = boost::program_options;

constexpr std::string_view kUsage =
    R"(elbeam-generate: translate a fairseq data-bin split with a fairseq model.

  elbeam-generate DATA-BIN --path checkpoint_best.pt [options]
  elbeam-generate DATA-BIN --path model.pt --beam 5 --remove-bpe > output.txt

The options, the output lines (S-, T-, H-, D-, P-) and the closing score are those of
fairseq-generate. Results go to standard output, log lines to standard error.

Exit codes: 0 done; 2 wrong options; 3 input or model rejected; 4 out of memory or no such device;
130, 143 interrupted; 70 internal error.

)";

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

void add_all(po::options_description& group, std::span<const FlagSpec> specs, FlagStatus status) {
  std::set<std::string_view> seen;  // conditional options may have several rows
  for (const FlagSpec& spec : specs) {
    const FlagPolicy& policy = flag_policy(spec.name);
    const bool other_task = spec.condition == "task=language_modeling";
    if (other_task && status == FlagStatus::kImplemented) continue;  // translation's row is shown
    if (policy.status == status && seen.insert(spec.name).second) add(group, spec, policy);
  }
}

}  // namespace

std::string help_text() {
  constexpr unsigned kLineLength = 100;
  po::options_description own("elbeam's own options", kLineLength);
  add_all(own, elbeam_flags(), FlagStatus::kImplemented);
  po::options_description implemented("fairseq-generate's options", kLineLength);
  add_all(implemented, fairseq_flags(), FlagStatus::kImplemented);
  po::options_description not_built(
      "Not supported yet (exit code 2 where they would have an effect)", kLineLength);
  add_all(not_built, elbeam_flags(), FlagStatus::kNotBuilt);
  add_all(not_built, fairseq_flags(), FlagStatus::kNotBuilt);
  std::ostringstream out;
  out << kUsage << own << '\n' << implemented << '\n' << not_built << '\n';
  out << "Accepted without effect, as in fairseq-generate:\n";
  std::string line = " ";
  for (const std::string_view name : flags_without_effect()) {
    if (line.size() + name.size() >= 100) {
      out << line << '\n';
      line = " ";
    }
    line += " ";
    line += name;
  }
  out << line << '\n';
  return out.str();
}

}  // namespace elbeam::fairseq
