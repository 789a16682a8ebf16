#include "fairseq_bridge/option_groups.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "text/post_process.hpp"

#include <limits>

namespace elbeam::fairseq {
namespace {

DataOptions data_options(const ParsedFlags& flags) {
  DataOptions data;
  data.data = flags.data();
  data.subset = flags.text("--gen-subset").value();
  data.source_lang = flags.text("--source-lang");
  data.target_lang = flags.text("--target-lang");
  if (const auto impl = flags.text("--dataset-impl")) {
    data.impl = parse_dataset_impl(*impl).value();
  }
  data.truncate_source = flags.flag("--truncate-source");
  data.max_source_positions = required_int(flags, "--max-source-positions");
  data.max_target_positions = required_int(flags, "--max-target-positions");
  return data;
}

// The options of --bpe exist only with the encodings that have them.
std::optional<text::BpeOptions> bpe_options(const ParsedFlags& flags) {
  const auto name = flags.text("--bpe");
  if (!name) return std::nullopt;
  text::BpeOptions bpe;
  bpe.name = *name;
  // OmegaConf's "???" stands for a value that is missing.
  const auto file = [&flags](std::string_view option) {
    const std::string path = flags.text(option).value_or("");
    return path == "???" ? std::string() : path;
  };
  if (*name == "gpt2") {
    ELBEAM_CHECK(flags.given("--gpt2-encoder-json"), ErrorCode::kUsage,
                 "--bpe gpt2 needs --gpt2-encoder-json FILE: elbeam downloads nothing");
    bpe.gpt2_encoder_json = file("--gpt2-encoder-json");
    if (flags.given("--gpt2-vocab-bpe")) bpe.gpt2_vocab_bpe = file("--gpt2-vocab-bpe");
  } else if (*name == "subword_nmt") {
    bpe.codes = file("--bpe-codes");
    bpe.bpe_separator = flags.text("--bpe-separator").value();
  } else if (*name == "fastbpe") {
    bpe.codes = file("--bpe-codes");
  } else if (*name == "sentencepiece") {
    bpe.sentencepiece_model = file("--sentencepiece-model");
  } else if (*name == "byte_bpe") {
    bpe.sentencepiece_model = file("--sentencepiece-model-path");
  } else if (*name == "hf_byte_bpe") {
    bpe.hf_vocab = file("--bpe-vocab");
    bpe.hf_merges = file("--bpe-merges");
    bpe.hf_add_prefix_space = flags.flag("--bpe-add-prefix-space");
  }
  return bpe;
}

std::optional<text::TokenizerOptions> tokenizer_options(const ParsedFlags& flags) {
  const auto name = flags.text("--tokenizer");
  if (!name) return std::nullopt;
  text::TokenizerOptions tokenizer;
  tokenizer.name = *name;
  // fairseq hands over what the command line says, not what the data folder's names say.
  tokenizer.source_lang = flags.text("--source-lang");
  tokenizer.target_lang = flags.text("--target-lang");
  if (*name == "moses") {
    tokenizer.moses_no_dash_splits = flags.flag("--moses-no-dash-splits");
    tokenizer.moses_no_escape = flags.flag("--moses-no-escape");
  }
  return tokenizer;
}

}  // namespace

std::int64_t required_int(const ParsedFlags& flags, std::string_view name) {
  return flags.integer(name).value();
}

LoadOptions read_load_options(const ParsedFlags& flags) {
  LoadOptions load;
  const auto path = flags.text("--path");
  ELBEAM_CHECK(path.has_value(), ErrorCode::kUsage, "--path required for generation!");
  load.model_path = *path;
  const bool has_url = path->find("://") != std::string::npos;
  ELBEAM_CHECK(path->find(has_url ? '|' : ':') == std::string::npos, ErrorCode::kUsage, "--path ",
               *path, ": ensembles of several models are not supported yet");
  if (const auto suffix = flags.text("--checkpoint-suffix"); suffix && !suffix->empty()) {
    // checkpoint_utils.get_maybe_sharded_checkpoint_filename
    for (std::size_t at = 0; (at = load.model_path.find(".pt", at)) != std::string::npos;) {
      load.model_path.insert(at, *suffix);
      at += suffix->size() + 3;
    }
  }
  load.engine = *flags.text("--engine") == "native" ? Engine::kNative : Engine::kTorchScript;
  const std::string attention = *flags.text("--attention");
  load.attention = attention == "el"    ? Attention::kEl
                   : attention == "mha" ? Attention::kMha
                                        : Attention::kAuto;
  load.dtype = *flags.text("--dtype") == "fp64" ? DType::kFp64 : DType::kFp32;
  const std::int64_t threads = required_int(flags, "--threads");
  ELBEAM_CHECK(threads >= 0 && threads <= 1024, ErrorCode::kUsage,
               "--threads must be between 0 and 1024, got ", threads);
  load.threads = static_cast<int>(threads);
  return load;
}

SearchOptions read_search_options(const ParsedFlags& flags, Compat compat,
                                  std::vector<Quirk>& met) {
  SearchOptions search;
  search.beam = required_int(flags, "--beam");
  search.nbest = required_int(flags, "--nbest");
  search.min_len = required_int(flags, "--min-len");
  search.max_len_a = flags.real("--max-len-a").value();
  search.max_len_b = static_cast<double>(required_int(flags, "--max-len-b"));
  search.lenpen = flags.real("--lenpen").value();
  search.normalize_scores = !flags.flag("--unnormalized");
  search.unk_penalty = flags.real("--unkpen").value();
  search.temperature = flags.real("--temperature").value();
  if (required_int(flags, "--no-repeat-ngram-size") > 0) {
    ELBEAM_CHECK(has_quirk(compat, Quirk::kNgramBlockingIgnored), ErrorCode::kUsage,
                 "--no-repeat-ngram-size is not supported yet; fairseq ignores it on the CPU, and "
                 "so does --compat fairseq-main");
    met.push_back(Quirk::kNgramBlockingIgnored);
  }
  search.validate();
  return search;
}

BatchLimits read_batch_limits(const ParsedFlags& flags) {
  const auto max_tokens = flags.integer("--max-tokens");
  const auto batch_size = flags.integer("--batch-size");
  BatchLimits batch;
  // fairseq_cli/generate.py:_main gives a default only where neither is set.
  if (max_tokens) batch.max_tokens = *max_tokens;
  if (!max_tokens && !batch_size) batch.max_tokens = 12000;
  if (batch_size) batch.max_sentences = *batch_size;
  batch.multiple = required_int(flags, "--required-batch-size-multiple");
  ELBEAM_CHECK(batch.multiple >= 1, ErrorCode::kUsage,
               "--required-batch-size-multiple must be at least 1, got ", batch.multiple);
  return batch;
}

OutputOptions read_output_options(const ParsedFlags& flags) {
  OutputOptions output;
  if (flags.given("--post-process")) {
    output.post_process = flags.text("--post-process");
    ELBEAM_CHECK(!output.post_process->empty(), ErrorCode::kUsage,
                 "--post-process must not be empty");
    text::validate_post_process(*output.post_process);
  }
  output.bpe = bpe_options(flags);
  output.tokenizer = tokenizer_options(flags);
  output.results_path = flags.text("--results-path");
  output.quiet = flags.flag("--quiet");
  output.json = flags.flag("--json");
  output.sacrebleu = flags.flag("--sacrebleu");
  const auto log_format = flags.text("--log-format");
  output.progress_bar = log_format ? *log_format == "tqdm" : !flags.flag("--no-progress-bar");
  return output;
}

TaskOptions read_task_options(const ParsedFlags& flags) {
  TaskOptions task;
  task.name = flags.text("--task").value();
  task.data = data_options(flags);
  task.bart_hub = flags.flag("--bart-hub");
  return task;
}

Compat read_compat(const ParsedFlags& flags) {
  return parse_compat(flags.text("--compat").value()).value();
}

std::int64_t read_seed(const ParsedFlags& flags) {
  const std::int64_t seed = required_int(flags, "--seed");
  constexpr std::int64_t kMaxSeed = std::numeric_limits<std::uint32_t>::max() - 1;
  ELBEAM_CHECK(seed >= -1 && seed <= kMaxSeed, ErrorCode::kUsage, "--seed must be between -1 and ",
               kMaxSeed, ", got ", seed);
  return seed;
}

void check_device(const ParsedFlags& flags) {
  const std::string device = flags.text("--device").value();
  if (device == "cpu") return;
  const bool cuda = device == "cuda" || device.rfind("cuda:", 0) == 0;
  ELBEAM_CHECK(cuda, ErrorCode::kUsage, "argument --device: invalid value: ", quoted(device),
               " (expected cpu, cuda or cuda:N)");
  fail(ErrorCode::kDevice, "--device ", device,
       ": this build has no CUDA support; use --device cpu");
}

}  // namespace elbeam::fairseq
