// --task and the options of each task.
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/mapped_file.hpp"
#include "fairseq_bridge/option_groups.hpp"
#include "text/python_string.hpp"

#include <algorithm>
#include <sstream>
#include <string_view>

namespace elbeam::fairseq {
namespace {

std::vector<std::string> comma_separated(const std::optional<std::string>& list) {
  std::vector<std::string> parts;
  std::istringstream stream(list.value_or(""));
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

// utils.eval_bool of an option that takes "True" or "False".
bool python_bool(const ParsedFlags& flags, std::string_view name) {
  const std::string value = flags.text(name).value();
  ELBEAM_CHECK(value == "True" || value == "False", ErrorCode::kUsage, name,
               ": expected True or False, got ", quoted(value));
  return value == "True";
}

bool is_pair_task(const std::string& task) { return task != "language_modeling"; }

DataOptions data_options(const ParsedFlags& flags, const std::string& task) {
  DataOptions data;
  data.data = flags.data();
  data.subset = flags.text("--gen-subset").value();
  if (const auto impl = flags.text("--dataset-impl")) {
    data.impl = parse_dataset_impl(*impl).value();
  }
  if (!is_pair_task(task)) return data;
  data.source_lang = flags.text("--source-lang");
  data.target_lang = flags.text("--target-lang");
  // The other tasks' load_dataset does not pass it on.
  data.truncate_source = (task == "translation" || task == "translation_multi_simple_epoch") &&
                         flags.flag("--truncate-source");
  data.max_source_positions = required_int(flags, "--max-source-positions");
  data.max_target_positions = required_int(flags, "--max-target-positions");
  return data;
}

std::vector<std::string> read_lines(const std::string& path) {
  const MappedFile file(path);
  const std::string_view content(reinterpret_cast<const char*>(file.bytes().data()),
                                 file.bytes().size());
  std::vector<std::string> lines;
  for (const std::string_view line : text::split_words(content)) lines.emplace_back(line);
  return lines;
}

void read_simple_epoch_options(const ParsedFlags& flags, MultilingualOptions& languages) {
  const auto list = flags.text("--lang-dict");
  ELBEAM_CHECK(!list || !flags.given("--langs"), ErrorCode::kUsage,
               "--langs and --lang-dict can not both be specified");
  if (list) languages.langs = read_lines(*list);
  languages.replace_bos_eos = flags.flag("--lang-tok-replacing-bos-eos");
  languages.mbart_style = flags.text("--lang-tok-style").value() == "mbart";
  languages.keep_inference_langtok = flags.flag("--keep-inference-langtok");
  languages.source_dictionary = flags.text("--source-dict");
  languages.target_dictionary = flags.text("--target-dict");
  if (const auto both = flags.text("--fixed-dictionary")) {
    languages.source_dictionary = languages.target_dictionary = both;
  }
}

MultilingualOptions multilingual_options(const ParsedFlags& flags, const std::string& task) {
  MultilingualOptions languages;
  if (task == "translation_from_pretrained_bart") {
    languages.langs = comma_separated(flags.text("--langs"));
    languages.prepend_bos = flags.flag("--prepend-bos");
    return languages;
  }
  languages.lang_pairs = comma_separated(flags.text("--lang-pairs"));
  languages.encoder_langtok = flags.text("--encoder-langtok");
  languages.decoder_langtok = flags.flag("--decoder-langtok");
  if (task == "translation_multi_simple_epoch") {
    languages.langs = comma_separated(flags.text("--langs"));
    read_simple_epoch_options(flags, languages);
  }
  return languages;
}

MonolingualOptions block_options(const ParsedFlags& flags) {
  MonolingualOptions blocks;
  blocks.break_mode = parse_break_mode(flags.text("--sample-break-mode").value()).value();
  blocks.tokens_per_sample = required_int(flags, "--tokens-per-sample");
  blocks.add_bos_token = flags.flag("--add-bos-token");
  const auto splits = comma_separated(flags.text("--shorten-data-split-list"));
  const bool shortened =
      splits.empty() ||
      std::find(splits.begin(), splits.end(), flags.text("--gen-subset").value()) != splits.end();
  blocks.truncate = shortened && flags.text("--shorten-method").value() == "truncate";
  return blocks;
}

}  // namespace

TaskOptions read_task_options(const ParsedFlags& flags, QuirkLog& quirks) {
  TaskOptions task;
  task.name = flags.text("--task").value();
  task.data = data_options(flags, task.name);
  task.bart_hub = flags.flag("--bart-hub");
  ELBEAM_CHECK(!task.bart_hub || task.name == "translation", ErrorCode::kUsage,
               "--bart-hub goes with --task translation");
  if (task.name == "translation_from_pretrained_bart") {
    quirks.fails_at(Quirk::kPretrainedBartFails);
  }
  if (is_pair_task(task.name) && task.name != "translation") {
    task.languages = multilingual_options(flags, task.name);
  }
  if (!is_pair_task(task.name)) {
    task.blocks = block_options(flags);
    task.model_path = first_data_path(flags.text("--path").value_or(""));
  }
  return task;
}

RequestOptions read_request_options(const ParsedFlags& flags) {
  RequestOptions request;
  request.prefix_size = required_int(flags, "--prefix-size");
  const std::string task = flags.text("--task").value();
  if (task == "translation" || task == "translation_from_pretrained_bart") {
    request.left_pad_target = flags.flag("--left-pad-target");
  } else if (is_pair_task(task)) {
    request.left_pad_target = python_bool(flags, "--left-pad-target");
    python_bool(flags, "--left-pad-source");
  }
  // The other tasks' load_dataset does not pass it on.
  if (task == "translation") {
    request.pad_to_multiple = required_int(flags, "--required-seq-len-multiple");
  }
  ELBEAM_CHECK(request.pad_to_multiple >= 1, ErrorCode::kUsage,
               "--required-seq-len-multiple must be at least 1, got ", request.pad_to_multiple);
  return request;
}

}  // namespace elbeam::fairseq
