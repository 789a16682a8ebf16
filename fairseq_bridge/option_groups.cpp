#include "fairseq_bridge/option_groups.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "device/device.hpp"
#include "text/post_process.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>
#include <system_error>

namespace elbeam::fairseq {
namespace {

DType dtype_of(const std::string& name) {
  if (name == "fp64") return DType::kFp64;
  if (name == "fp16") return DType::kFp16;
  if (name == "bf16") return DType::kBf16;
  return name == "int8" ? DType::kInt8 : DType::kFp32;
}

// utils.split_paths: ':' separates, unless the text holds a URL, where '|' does.
std::vector<std::string> split_paths(const std::string& paths) {
  const char separator = paths.find("://") == std::string::npos ? ':' : '|';
  std::vector<std::string> parts;
  std::istringstream stream(paths);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  ELBEAM_CHECK(!parts.empty() && std::find(parts.begin(), parts.end(), "") == parts.end() &&
                   paths.back() != separator,
               ErrorCode::kUsage, quoted(paths), " has an empty path");
  return parts;
}

// checkpoint_utils.get_maybe_sharded_checkpoint_filename of the only shard.
std::string checkpoint_file(std::string name, const std::string& suffix) {
  for (std::size_t at = 0; (at = name.find(".pt", at)) != std::string::npos;) {
    name.insert(at, suffix);
    at += suffix.size() + 3;
  }
  const std::string sharded =
      name.substr(0, name.size() - std::min<std::size_t>(3, name.size())) + "-shard0.pt";
  std::error_code error;
  return std::filesystem::exists(sharded, error) ? sharded : name;
}

// FairseqTask.build_generator: which search the flags ask for.
Strategy read_strategy(const ParsedFlags& flags) {
  const bool sampling = flags.flag("--sampling");
  const bool match_source_len = flags.flag("--match-source-len");
  const std::int64_t groups = required_int(flags, "--diverse-beam-groups");
  const double rate = flags.real("--diversity-rate").value();
  const int asked_for = static_cast<int>(sampling) + static_cast<int>(groups > 0) +
                        static_cast<int>(match_source_len) + static_cast<int>(rate > 0);
  ELBEAM_CHECK(asked_for <= 1, ErrorCode::kUsage,
               "Provided Search parameters are mutually exclusive. (--sampling, "
               "--diverse-beam-groups, --match-source-len, --diversity-rate)");
  for (const char* name : {"--sampling-topk", "--sampling-topp"}) {
    const double value = python_float(flags.text(name).value()).value();
    ELBEAM_CHECK(value < 0 || sampling, ErrorCode::kUsage, name, " requires --sampling");
  }
  if (sampling) return Strategy::kSampling;
  if (groups > 0) return Strategy::kDiverseBeam;
  if (match_source_len) return Strategy::kLengthConstrained;
  return rate > -1 ? Strategy::kDiverseSiblings : Strategy::kBeam;
}

void read_strategy_options(const ParsedFlags& flags, QuirkLog& quirks, SearchOptions& search) {
  search.strategy = read_strategy(flags);
  search.diverse_groups = required_int(flags, "--diverse-beam-groups");
  search.diverse_strength = flags.real("--diverse-beam-strength").value();
  search.sampling_topk = required_int(flags, "--sampling-topk");
  search.sampling_topp = flags.real("--sampling-topp").value();
  search.counter_draws = *flags.text("--sampling-draws") == "counter";
  if (search.counter_draws) search.draw_seed = static_cast<std::uint64_t>(read_seed(flags));
  if (search.strategy == Strategy::kDiverseSiblings) {
    search.diversity_rate = flags.real("--diversity-rate").value();
  }
  if (search.strategy == Strategy::kDiverseBeam) {
    search.diverse_cumulative = quirks.meets(Quirk::kDiversityCumulates);
    ELBEAM_CHECK(search.beam % search.diverse_groups == 0, ErrorCode::kUsage,
                 "DiverseBeamSearch requires --beam to be divisible by the number of groups, got ",
                 search.beam, " and ", search.diverse_groups);
  }
  if (search.strategy == Strategy::kLengthConstrained) {
    quirks.meets(Quirk::kMatchedLengthIsFree);
    search.source_length_counts_eos = quirks.meets(Quirk::kSourceLengthCountsEos);
  }
  ELBEAM_CHECK(search.strategy != Strategy::kSampling || search.nbest == search.beam,
               ErrorCode::kUsage, "--sampling requires --nbest to be equal to --beam, got ",
               search.nbest, " and ", search.beam);
}

// Options that only elbeam has.
void read_own_search_options(const ParsedFlags& flags, SearchOptions& search) {
  search.patience = flags.real("--beam-patience").value();
  search.coverage_penalty = flags.real("--coverage-penalty").value();
  search.repetition_penalty = flags.real("--repetition-penalty").value();
  if (const auto kind = flags.text("--early-stopping")) {
    search.early_stopping = *kind == "exact";
    search.heuristic_stopping = *kind == "heuristic";
  }
}

void read_replace_unk(const ParsedFlags& flags, QuirkLog& quirks, OutputOptions& output) {
  if (!flags.given("--replace-unk")) return;
  output.replace_unk = flags.text("--replace-unk").value_or("");
  // The value of the bare flag, which is meant for no file.
  if (*output.replace_unk == flags.spec("--replace-unk").constant &&
      !quirks.meets(Quirk::kReplaceUnkFile)) {
    output.replace_unk = "";
  }
  output.replace_unk_fails = quirks.meets(Quirk::kReplaceUnkFails);
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

bool needs_attention(const OutputOptions& options) noexcept {
  return options.alignment != PrintAlignment::kNone ||
         (options.replace_unk && !options.replace_unk_fails);
}

std::int64_t required_int(const ParsedFlags& flags, std::string_view name) {
  return flags.integer(name).value();
}

namespace {

VocabularyOptions read_vocabulary_options(const ParsedFlags& flags) {
  VocabularyOptions vocabulary;
  vocabulary.list_path = flags.text("--vocabulary-list").value_or("");
  vocabulary.lexicon_path = flags.text("--lexical-shortlist").value_or("");
  vocabulary.best = required_int(flags, "--shortlist-best");
  const auto first = flags.integer("--shortlist-first");
  ELBEAM_CHECK(first.value_or(0) >= 0 && vocabulary.best >= 0, ErrorCode::kUsage,
               "--shortlist-first and --shortlist-best must not be negative, got ",
               first.value_or(0), " and ", vocabulary.best);
  vocabulary.first = first.value_or(-1);
  ELBEAM_CHECK(!first || vocabulary.active(), ErrorCode::kUsage,
               "--shortlist-first needs --vocabulary-list or --lexical-shortlist");
  ELBEAM_CHECK(!flags.given("--shortlist-best") || !vocabulary.lexicon_path.empty(),
               ErrorCode::kUsage, "--shortlist-best needs --lexical-shortlist");
  return vocabulary;
}

}  // namespace

LoadOptions read_load_options(const ParsedFlags& flags) {
  LoadOptions load;
  const auto path = flags.text("--path");
  ELBEAM_CHECK(path.has_value(), ErrorCode::kUsage, "--path required for generation!");
  ELBEAM_CHECK(required_int(flags, "--checkpoint-shard-count") == 1, ErrorCode::kUsage,
               "--checkpoint-shard-count above 1 is not supported: the parts need fairscale to be "
               "put together; save the model in one file");
  const std::string suffix = flags.text("--checkpoint-suffix").value_or("");
  for (const std::string& name : split_paths(*path)) {
    const std::string file = checkpoint_file(name, suffix);
    (load.model_path.empty() ? load.model_path : load.ensemble_paths.emplace_back()) = file;
  }
  if (const auto lm_path = flags.text("--lm-path")) {
    load.lm_path = *lm_path;
    load.lm_weight = flags.real("--lm-weight").value();
    ELBEAM_CHECK(std::isfinite(load.lm_weight), ErrorCode::kUsage,
                 "--lm-weight must be finite, got ", load.lm_weight);
    load.lm_dictionary_path =
        (std::filesystem::path(first_data_path(flags.data())) / "dict.txt").string();
  }
  load.half_weights = flags.flag("--fp16") || flags.flag("--memory-efficient-fp16");
  load.model_overrides = flags.text("--model-overrides").value();
  load.engine = *flags.text("--engine") == "native" ? Engine::kNative : Engine::kTorchScript;
  const std::string attention = *flags.text("--attention");
  load.attention = attention == "el"    ? Attention::kEl
                   : attention == "mha" ? Attention::kMha
                                        : Attention::kAuto;
  load.dtype = dtype_of(*flags.text("--dtype"));
  const std::int64_t threads = required_int(flags, "--threads");
  ELBEAM_CHECK(threads >= 0 && threads <= 1024, ErrorCode::kUsage,
               "--threads must be between 0 and 1024, got ", threads);
  load.threads = static_cast<int>(threads);
  load.device = flags.text("--device").value();
  load.share_sources = !flags.flag("--no-shared-sources");
  load.vocabulary = read_vocabulary_options(flags);
  load.pack_cache_folder = flags.text("--pack-cache-dir").value_or("");
  ELBEAM_CHECK(!flags.given("--pack-cache-dir") || !load.pack_cache_folder.empty(),
               ErrorCode::kUsage, "--pack-cache-dir: expected a folder, got an empty name");
  load.pack_cache = flags.flag("--pack-cache") || !load.pack_cache_folder.empty();
  return load;
}

SearchOptions read_search_options(const ParsedFlags& flags, QuirkLog& quirks) {
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
  if (const std::int64_t size = required_int(flags, "--no-repeat-ngram-size");
      size > 0 && !quirks.meets(Quirk::kNgramBlockingIgnored)) {
    search.no_repeat_ngram_size = size;
  }
  if (search.nbest > search.beam) quirks.meets(Quirk::kNbestAboveBeam);
  if (search.max_len_a != 0) quirks.meets(Quirk::kPaddedMaxLen);
  read_strategy_options(flags, quirks, search);
  read_own_search_options(flags, search);
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

namespace {

ScoringOptions read_scoring_options(const ParsedFlags& flags) {
  ScoringOptions scoring;
  scoring.name = flags.text("--scoring").value();
  if (scoring.name == "sacrebleu") {
    scoring.tokenizer = flags.text("--sacrebleu-tokenizer").value();
    scoring.lowercase = flags.flag("--sacrebleu-lowercase");
    scoring.characters = flags.flag("--sacrebleu-char-level");
  } else if (scoring.name == "wer") {
    scoring.tokenizer = flags.text("--wer-tokenizer").value();
    scoring.lowercase = flags.flag("--wer-lowercase");
    scoring.characters = flags.flag("--wer-char-level");
    scoring.remove_punctuation = flags.flag("--wer-remove-punct");
  }
  return scoring;
}

}  // namespace

OutputOptions read_output_options(const ParsedFlags& flags, QuirkLog& quirks) {
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
  if (const auto kind = flags.text("--print-alignment")) {
    output.alignment = *kind == "soft" ? PrintAlignment::kSoft : PrintAlignment::kHard;
  }
  read_replace_unk(flags, quirks, output);
  output.scoring = read_scoring_options(flags);
  const auto log_format = flags.text("--log-format");
  output.progress_bar = log_format ? *log_format == "tqdm" : !flags.flag("--no-progress-bar");
  return output;
}

std::vector<std::vector<std::int64_t>> read_suppressed(const std::optional<std::string>& file,
                                                       const text::Dictionary& dictionary) {
  std::vector<std::vector<std::int64_t>> sequences;
  if (!file) return sequences;
  const std::string& path = *file;
  const auto lines = open_raw_dataset(path, dictionary);
  for (std::int64_t i = 0; i < lines->size(); ++i) {
    sequences.push_back(lines->tokens(i));
    sequences.back().pop_back();  // eos
    ELBEAM_CHECK(!sequences.back().empty(), ErrorCode::kFormat, path, ": line ", i + 1,
                 " is empty");
    const auto& words = sequences.back();
    ELBEAM_CHECK(std::find(words.begin(), words.end(), dictionary.special().unk) == words.end(),
                 ErrorCode::kFormat, path, ": line ", i + 1,
                 " has a word that is not in the target dictionary");
  }
  return sequences;
}

QuirkLog read_compat(const ParsedFlags& flags) {
  return QuirkLog(parse_compat(flags.text("--compat").value()).value());
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
  for (const std::string& name : device::device_names(device)) device::open_device(name);
}

}  // namespace elbeam::fairseq
