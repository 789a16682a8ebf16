#include "base/check.hpp"
#include "fairseq_bridge/argument_parser.hpp"
#include "fairseq_bridge/preprocess.hpp"

#include <boost/program_options.hpp>

#include <algorithm>
#include <sstream>
#include <string_view>

namespace elbeam::fairseq {
namespace {

namespace po = boost::program_options;

struct PreprocessFlag {
  FlagSpec spec;
  std::string_view help;
};

constexpr FlagSpec flag_spec(std::string_view name) {
  return {name, "", FlagKind::kFlag, Arity::kNone, "", "", "", ""};
}
constexpr FlagSpec text_spec(std::string_view name, std::string_view alias = "",
                             std::string_view default_value = "") {
  return {name, alias, FlagKind::kString, Arity::kOne, "", default_value, "", ""};
}
constexpr FlagSpec int_spec(std::string_view name, std::string_view default_value) {
  return {name, "", FlagKind::kInt, Arity::kOne, "", default_value, "", ""};
}

// fairseq/options.py:add_preprocess_args, and elbeam's own.
constexpr PreprocessFlag kFlags[] = {
    {flag_spec("--help"), "this text"},
    {flag_spec("--version"), "version of elbeam"},
    {{"--compat", "", FlagKind::kString, Arity::kOne, "", "fixed",
      "fairseq-0.12.2|fairseq-main|fixed", ""},
     "what --alignfile writes: fairseq's line for every alignment, or the best of a word (fixed)"},
    {text_spec("--source-lang", "-s"), "source language"},
    {text_spec("--target-lang", "-t"), "target language"},
    {text_spec("--trainpref"), "train file prefix (also used to build dictionaries)"},
    {text_spec("--validpref"), "valid file prefixes, separated by commas"},
    {text_spec("--testpref"), "test file prefixes, separated by commas"},
    {text_spec("--align-suffix"), "PREFIX.SUFFIX holds the alignments of a split"},
    {text_spec("--alignfile"), "alignments of the train files, for a dictionary of translations"},
    {text_spec("--destdir", "", "data-bin"), "folder to write"},
    {int_spec("--thresholdsrc", "0"), "source words that are rarer become <unk>"},
    {int_spec("--thresholdtgt", "0"), "target words that are rarer become <unk>"},
    {text_spec("--srcdict"), "use this source dictionary"},
    {text_spec("--tgtdict"), "use this target dictionary"},
    {int_spec("--nwordssrc", "-1"), "most words of the source dictionary"},
    {int_spec("--nwordstgt", "-1"), "most words of the target dictionary"},
    {{"--dataset-impl", "", FlagKind::kString, Arity::kOne, "", "mmap",
      "raw|lazy|cached|mmap|fasta|huffman", ""},
     "format: mmap, raw (a copy of the text), lazy or cached (the older binary format)"},
    {flag_spec("--joined-dictionary"), "one dictionary for both languages"},
    {flag_spec("--only-source"), "no target side"},
    {int_spec("--padding-factor", "8"), "dictionary sizes become multiples of this"},
    {int_spec("--workers", "1"), "threads; the result does not depend on them"},
    {flag_spec("--dict-only"), "dictionaries only"},
    {text_spec("--task", "", "translation"), "translation and every task whose data is the same"},
    {text_spec("--user-dir"), "not supported: elbeam runs no Python"},
};

// Options of fairseq-preprocess that do nothing there either (CommonConfig, registries).
constexpr std::string_view kIgnoredFlags[] = {"--amp",
                                              "--azureml-logging",
                                              "--bf16",
                                              "--cpu",
                                              "--fp16",
                                              "--fp16-no-flatten-grads",
                                              "--memory-efficient-bf16",
                                              "--memory-efficient-fp16",
                                              "--no-progress-bar",
                                              "--on-cpu-convert-precision",
                                              "--profile",
                                              "--reset-logging",
                                              "--suppress-crashes",
                                              "--tpu",
                                              "--use-plasma-view"};
constexpr std::string_view kIgnoredWithValue[] = {"--aim-repo",
                                                  "--aim-run-hash",
                                                  "--all-gather-list-size",
                                                  "--amp-batch-retries",
                                                  "--amp-init-scale",
                                                  "--amp-scale-window",
                                                  "--bpe",
                                                  "--criterion",
                                                  "--empty-cache-freq",
                                                  "--fp16-init-scale",
                                                  "--fp16-scale-tolerance",
                                                  "--fp16-scale-window",
                                                  "--log-file",
                                                  "--log-format",
                                                  "--log-interval",
                                                  "--lr-scheduler",
                                                  "--min-loss-scale",
                                                  "--model-parallel-size",
                                                  "--optimizer",
                                                  "--plasma-path",
                                                  "--quantization-config-path",
                                                  "--scoring",
                                                  "--seed",
                                                  "--tensorboard-logdir",
                                                  "--threshold-loss-scale",
                                                  "--tokenizer",
                                                  "--wandb-project"};

// Tasks whose load_dictionary() and build_dictionary() are not those of FairseqTask.
constexpr std::string_view kOtherTasks[] = {"cross_lingual_lm", "legacy_masked_lm",
                                            "sentence_prediction", "sentence_ranking",
                                            "translation_from_pretrained_xlm"};

constexpr std::string_view kUsage =
    R"(elbeam-preprocess: text files to a data-bin folder for elbeam-generate and fairseq.

  elbeam-preprocess -s de -t en --trainpref train --validpref valid --testpref test --destdir BIN
  elbeam-preprocess -s de -t en --testpref test --srcdict BIN/dict.de.txt --tgtdict BIN/dict.en.txt
  elbeam-preprocess --only-source --srcdict dict.txt --testpref test.txt --destdir BIN

The options and the files are those of fairseq-preprocess; log lines go to standard error and to
DESTDIR/preprocess.log.

Exit codes: 0 done; 2 wrong options; 3 input rejected; 4 out of memory; 130, 143 interrupted;
70 internal error.

)";

std::optional<std::string> non_empty(const ParsedFlags& flags, std::string_view name) {
  const auto value = flags.text(name);
  return value && !value->empty() ? value : std::nullopt;
}

std::vector<std::string> comma_list(const ParsedFlags& flags, std::string_view name) {
  std::vector<std::string> parts;
  const auto value = non_empty(flags, name);
  if (!value) return parts;
  std::istringstream in(*value + ",");
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

// Options that elbeam ignores, as fairseq does, accepted with whatever value.
std::vector<FlagSpec> ignored_specs() {
  std::vector<FlagSpec> specs;
  for (const std::string_view name : kIgnoredFlags) specs.push_back(flag_spec(name));
  for (const std::string_view name : kIgnoredWithValue) specs.push_back(text_spec(name));
  return specs;
}

DictionaryLimits dictionary_limits(const ParsedFlags& flags, const std::string& side) {
  return {flags.integer("--threshold" + side).value(), flags.integer("--nwords" + side).value(),
          flags.integer("--padding-factor").value()};
}

void refuse_what_is_not_done(const ParsedFlags& flags) {
  const std::string impl = *flags.text("--dataset-impl");
  ELBEAM_CHECK(impl != "huffman", ErrorCode::kUsage,
               "--dataset-impl huffman: fairseq-preprocess doesn't support Huffman either");
  ELBEAM_CHECK(impl != "fasta", ErrorCode::kUsage,
               "--dataset-impl fasta: fairseq-preprocess cannot write it either");
  ELBEAM_CHECK(!flags.given("--user-dir"), ErrorCode::kUsage,
               "--user-dir is not supported (Python plug-in: elbeam runs no Python)");
  const std::string task = *flags.text("--task");
  ELBEAM_CHECK(
      std::find(std::begin(kOtherTasks), std::end(kOtherTasks), task) == std::end(kOtherTasks),
      ErrorCode::kUsage, "--task ", task, " is not supported: it has dictionaries of its own");
}

PreprocessOptions read_options(const ParsedFlags& flags) {
  PreprocessOptions options;
  options.source_lang = flags.text("--source-lang");
  options.target_lang = flags.text("--target-lang");
  options.train_prefix = non_empty(flags, "--trainpref");
  options.valid_prefixes = comma_list(flags, "--validpref");
  options.test_prefixes = comma_list(flags, "--testpref");
  options.source_dictionary = non_empty(flags, "--srcdict");
  options.target_dictionary = non_empty(flags, "--tgtdict");
  options.source_limits = dictionary_limits(flags, "src");
  options.target_limits = dictionary_limits(flags, "tgt");
  options.joined_dictionary = flags.flag("--joined-dictionary");
  options.only_source = flags.flag("--only-source");
  options.dictionary_only = flags.flag("--dict-only");
  options.align_suffix = non_empty(flags, "--align-suffix");
  options.alignment_file = non_empty(flags, "--alignfile");
  if (*flags.text("--compat") != "fixed") options.alignment_lines = AlignmentLines::kEvery;
  options.destination = flags.text("--destdir").value();
  options.impl = parse_dataset_impl(*flags.text("--dataset-impl")).value();
  const std::int64_t workers = flags.integer("--workers").value();
  ELBEAM_CHECK(workers >= 1 && workers <= 1024, ErrorCode::kUsage,
               "--workers must be between 1 and 1024, got ", workers);
  options.workers = static_cast<int>(workers);
  ELBEAM_CHECK(!options.alignment_file || options.train_prefix, ErrorCode::kUsage,
               "--trainpref must be set if --alignfile is specified");
  ELBEAM_CHECK(!options.alignment_file || !options.only_source, ErrorCode::kUsage,
               "--alignfile needs both sides: it cannot go with --only-source");
  return options;
}

}  // namespace

PreprocessCommandLine parse_preprocess_arguments(const std::vector<std::string>& arguments) {
  const std::vector<FlagSpec> ignored = ignored_specs();
  std::vector<const FlagSpec*> specs;
  for (const PreprocessFlag& flag : kFlags) specs.push_back(&flag.spec);
  for (const FlagSpec& spec : ignored) specs.push_back(&spec);
  const ParsedFlags flags = parse_arguments(arguments, specs);
  PreprocessCommandLine command_line;
  if (flags.flag("--help") || flags.flag("--version")) {
    command_line.action =
        flags.flag("--help") ? PreprocessAction::kHelp : PreprocessAction::kVersion;
    return command_line;
  }
  std::string unknown;
  if (!flags.data().empty()) unknown += " " + flags.data();
  for (const std::string& argument : flags.unrecognized()) unknown += " " + argument;
  ELBEAM_CHECK(unknown.empty(), ErrorCode::kUsage, "unrecognized arguments:", unknown);
  refuse_what_is_not_done(flags);
  command_line.options = read_options(flags);
  return command_line;
}

std::string preprocess_help() {
  po::options_description options("Options", 100);
  for (const PreprocessFlag& flag : kFlags) {
    std::string name(flag.spec.name.substr(2));
    if (!flag.spec.alias.empty()) name += concat(",", flag.spec.alias.substr(1));
    std::string text(flag.help);
    if (!flag.spec.default_value.empty()) text += concat(" [", flag.spec.default_value, "]");
    if (flag.spec.kind == FlagKind::kFlag) {
      options.add_options()(name.c_str(), text.c_str());
    } else {
      auto* value = po::value<std::string>();
      value->value_name(flag.spec.kind == FlagKind::kInt ? "N" : "TEXT");
      options.add_options()(name.c_str(), value, text.c_str());
    }
  }
  std::ostringstream out;
  out << kUsage << options << "\nAccepted without effect, as in fairseq-preprocess:\n ";
  std::size_t width = 1;
  for (const FlagSpec& spec : ignored_specs()) {
    if (width + spec.name.size() >= 99) {
      out << "\n ";
      width = 1;
    }
    out << " " << spec.name;
    width += spec.name.size() + 1;
  }
  out << "\n";
  return out.str();
}

}  // namespace elbeam::fairseq
