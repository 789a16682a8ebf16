#include "fairseq_bridge/generate.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/batching.hpp"
#include "fairseq_bridge/fairseq_log.hpp"
#include "fairseq_bridge/interrupt.hpp"
#include "fairseq_bridge/progress_bar.hpp"
#include "fairseq_bridge/result_lines.hpp"
#include "fairseq_bridge/row_order.hpp"
#include "text/python_format.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <utility>

namespace elbeam::fairseq {
namespace {

constexpr char kLogger[] = "fairseq_cli.generate";

using Clock = std::chrono::steady_clock;

// Counters of fairseq's closing log line; the time is that of generation alone.
struct Totals {
  std::int64_t sentences = 0;
  std::int64_t tokens = 0;  // of the best hypotheses, eos included
  double seconds = 0.0;
};

OutputFile open_output(const GenerateOptions& options) {
  if (!options.output.results_path) return OutputFile::standard_output();
  const std::filesystem::path folder(*options.output.results_path);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  ELBEAM_CHECK(!error, ErrorCode::kIo, folder.string(),
               ": cannot create the results folder: ", error.message());
  return OutputFile::create((folder / concat("generate-", options.data.subset, ".txt")).string());
}

// The batches that this process translates, in fairseq's order.
std::vector<std::vector<std::int64_t>> plan_batches(const Generator& generator,
                                                    const GenerateJob& job) {
  const GenerateOptions& options = job.options;
  const ModelInfo& model = generator.model_info();
  const SizeLimits size_limits{
      std::min(options.data.max_source_positions, model.max_source_positions),
      std::min(options.data.max_target_positions, model.max_target_positions),
      options.skip_invalid_size};
  const bool shuffle = options.data.subset != "test";
  const auto order = filter_by_size(
      job.dataset, ordered_indices(job.dataset, shuffle, options.shuffle_seed), size_limits);
  ELBEAM_CHECK(!order.empty(), ErrorCode::kModel, "no sentence of ", options.data.subset,
               " is left to translate (", job.dataset.size(), " in the data)");
  auto batches = batch_by_size(job.dataset, order, options.batch);
  if (ssize(batches.back().size()) % options.batch.multiple != 0) {
    if (has_quirk(options.compat, Quirk::kDropRaggedLastBatch)) {
      batches.pop_back();
    } else if (options.compat == Compat::kFixed) {
      fairseq_log(LogLevel::kWarning, kLogger,
                  std::string(quirk_row(Quirk::kDropRaggedLastBatch).warning));
    }
  }
  std::vector<std::vector<std::int64_t>> own;
  for (std::int64_t i = options.shard; i < ssize(batches.size()); i += options.shards) {
    own.push_back(std::move(batches[usize(i)]));
  }
  return own;
}

// language_pair_dataset.collate: the sentences of a batch in the order of its rows.
std::vector<Sentence> collate(const LanguagePairDataset& dataset,
                              const std::vector<std::int64_t>& batch, std::int64_t pad) {
  std::vector<Sentence> unsorted;
  std::vector<std::int64_t> lengths;
  for (const std::int64_t id : batch) {
    Sentence sentence{id, dataset.source(id), {}};
    if (dataset.has_targets()) sentence.target = dataset.target(id);
    lengths.push_back(std::count_if(sentence.source.begin(), sentence.source.end(),
                                    [pad](std::int64_t token) { return token != pad; }));
    unsorted.push_back(std::move(sentence));
  }
  std::vector<Sentence> rows;
  for (const std::int64_t row : sort_rows_descending(lengths)) {
    rows.push_back(std::move(unsorted[usize(row)]));
  }
  return rows;
}

SourceBatch source_batch(const std::vector<Sentence>& rows, std::int64_t pad) {
  SourceBatch batch;
  for (const Sentence& row : rows) {
    batch.padded_length = std::max(batch.padded_length, ssize(row.source.size()));
    // fairseq's encoder masks a pad wherever it stands and does not count it as a position.
    std::vector<std::int64_t> tokens = row.source;
    tokens.erase(std::remove(tokens.begin(), tokens.end(), pad), tokens.end());
    batch.sentences.push_back(std::move(tokens));
  }
  return batch;
}

// generate.py: prefix_tokens = sample["target"][:, :prefix_size], of the padded targets.
std::vector<std::vector<std::int64_t>> prefix_tokens(const std::vector<Sentence>& rows,
                                                     const GenerateOptions& options,
                                                     std::int64_t pad) {
  std::size_t width = 0;
  for (const Sentence& row : rows) width = std::max(width, row.target.size());
  std::vector<std::vector<std::int64_t>> prefixes;
  for (const Sentence& row : rows) {
    std::vector<std::int64_t> prefix = row.target;
    const std::size_t padding = width - row.target.size();
    prefix.insert(options.left_pad_target ? prefix.begin() : prefix.end(), padding, pad);
    prefix.resize(std::min(width, usize(options.prefix_size)));
    prefixes.push_back(std::move(prefix));
  }
  return prefixes;
}

void log_totals(const Totals& totals) {
  using text::python_fixed;
  const double seconds = std::max(totals.seconds, 1e-9);
  fairseq_log(LogLevel::kInfo, kLogger, "NOTE: hypothesis and token scores are output in base 2");
  fairseq_log(
      LogLevel::kInfo, kLogger,
      concat("Translated ", text::python_thousands(totals.sentences), " sentences (",
             text::python_thousands(totals.tokens), " tokens) in ", python_fixed(totals.seconds, 1),
             "s (", python_fixed(static_cast<double>(totals.sentences) / seconds, 2),
             " sentences/s, ", python_fixed(static_cast<double>(totals.tokens) / seconds, 2),
             " tokens/s)"));
}

void write_score(const ResultLines& lines, const GenerateOptions& options, OutputFile& output) {
  if (options.output.bpe && !options.output.sacrebleu) {
    fairseq_log(
        LogLevel::kWarning, kLogger,
        options.output.post_process
            ? "BLEU score is being computed by splitting detokenized string on spaces, this "
              "is probably not what you want. Use --sacrebleu for standard 13a BLEU "
              "tokenization"
            : "If you are using BPE on the target side, the BLEU score is computed on BPE "
              "tokens, not on proper words.  Use --sacrebleu for standard 13a BLEU "
              "tokenization");
  }
  const std::string line = concat("Generate ", options.data.subset,
                                  " with beam=", options.search.beam, ": ", lines.score());
  if (options.output.json) {
    // Standard output holds one JSON object a line and nothing else.
    fairseq_log(LogLevel::kInfo, kLogger, line);
  } else {
    output.append(line + "\n");
    output.flush();
  }
}

void write_statistics(const Generator& generator, const GenerateOptions& options) {
  if (!options.stats_path) return;
  const Statistics counters = generator.statistics();
  const ModelInfo& model = generator.model_info();
  const nlohmann::json json{{"version", version()},
                            {"architecture", model.architecture},
                            {"parameters", model.parameters},
                            {"engine", counters.engine},
                            {"isa", counters.isa},
                            {"cross_attention", counters.cross_attention},
                            {"self_attention", counters.self_attention},
                            {"sentences", counters.sentences},
                            {"source_tokens", counters.source_tokens},
                            {"generated_tokens", counters.generated_tokens},
                            {"steps", counters.steps},
                            {"decoder_rows", counters.decoder_rows},
                            {"encode_seconds", counters.encode_seconds},
                            {"decode_seconds", counters.decode_seconds},
                            {"cross_cache_bytes", counters.cross_cache_bytes},
                            {"self_cache_bytes", counters.self_cache_bytes},
                            {"cross_cache_bytes_mha_copied", counters.cross_cache_bytes_mha_copied},
                            {"cross_cache_bytes_mha_shared", counters.cross_cache_bytes_mha_shared},
                            {"cross_cache_bytes_el", counters.cross_cache_bytes_el}};
  OutputFile file = *options.stats_path == "-" ? OutputFile::standard_error()
                                               : OutputFile::create(*options.stats_path);
  file.append(json.dump(2) + "\n");
  file.flush();
}

}  // namespace

void translate_dataset(const Generator& generator, const GenerateJob& job, OutputFile& output) {
  const GenerateOptions& options = job.options;
  const std::int64_t pad = job.source_dictionary.special().pad;
  const auto batches = plan_batches(generator, job);
  std::int64_t planned = 0;
  for (const auto& batch : batches) planned += ssize(batch.size());
  ResultLines lines(options.output, job.source_dictionary, job.target_dictionary,
                    job.dataset.has_targets());
  ELBEAM_CHECK(options.prefix_size <= 0 || job.dataset.has_targets(), ErrorCode::kUsage,
               "--prefix-size needs references, and the data has none");
  Totals totals;
  {
    const DecodingScope scope;
    ProgressBar progress(planned, options.output.progress_bar);
    for (const auto& batch : batches) {
      const std::vector<Sentence> rows = collate(job.dataset, batch, pad);
      GenerateRequest request;
      request.batch = source_batch(rows, pad);
      if (options.prefix_size > 0) request.prefix_tokens = prefix_tokens(rows, options, pad);
      const Clock::time_point start = Clock::now();
      const auto results = generator.generate(request, options.search);
      totals.seconds += std::chrono::duration<double>(Clock::now() - start).count();
      for (std::size_t i = 0; i < rows.size(); ++i) {
        output.append(lines.add(rows[i], results[i].hypotheses));
        totals.tokens += ssize(results[i].hypotheses.front().tokens.size());
      }
      output.flush();
      totals.sentences += ssize(rows.size());
      progress.update(totals.sentences);
    }
  }
  log_totals(totals);
  if (job.dataset.has_targets()) write_score(lines, options, output);
  write_statistics(generator, options);
}

void run_generate(const GenerateOptions& options) {
  for (const Quirk quirk : options.warn_about) {
    fairseq_log(LogLevel::kWarning, kLogger, std::string(quirk_row(quirk).warning));
  }
  const LanguagePair pair = find_language_pair(options.data);
  LoadOptions load = options.load;
  load.source_dictionary_path = pair.dictionary_path(pair.source);
  load.target_dictionary_path = pair.dictionary_path(pair.target);
  const auto source_dictionary = text::Dictionary::load(load.source_dictionary_path);
  const auto target_dictionary = text::Dictionary::load(load.target_dictionary_path);
  const auto log_dictionary = [](const std::string& language, const text::Dictionary& dictionary) {
    fairseq_log(LogLevel::kInfo, "fairseq.tasks.translation",
                concat("[", language, "] dictionary: ", dictionary.size(), " types"));
  };
  log_dictionary(pair.source, source_dictionary);
  log_dictionary(pair.target, target_dictionary);
  fairseq_log(LogLevel::kInfo, kLogger, concat("loading model(s) from ", load.model_path));
  const Generator generator(load);
  const LanguagePairDataset dataset(options.data, pair, source_dictionary, target_dictionary);
  // Opened last: a run that cannot start must not empty the results of an earlier one.
  OutputFile output = open_output(options);
  translate_dataset(generator, {options, dataset, source_dictionary, target_dictionary}, output);
}

}  // namespace elbeam::fairseq
