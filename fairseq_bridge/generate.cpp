#include "fairseq_bridge/generate.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/batching.hpp"
#include "fairseq_bridge/fairseq_log.hpp"
#include "fairseq_bridge/interrupt.hpp"
#include "fairseq_bridge/progress_bar.hpp"
#include "fairseq_bridge/result_lines.hpp"
#include "runtime/scheduler.hpp"
#include "text/python_format.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
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
  return OutputFile::create(
      (folder / concat("generate-", options.task.data.subset, ".txt")).string());
}

// The batches that this process translates, in fairseq's order.
Batches plan_batches(const Generator& generator, const GenerateJob& job, QuirkLog& quirks) {
  const GenerateOptions& options = job.options;
  SizeLimits size_limits = job.task.size_limits(generator.model_info());
  size_limits.skip_invalid = options.skip_invalid_size;
  const auto order =
      filter_by_size(job.dataset, job.dataset.ordered_indices(options.shuffle_seed), size_limits);
  ELBEAM_CHECK(!order.empty(), ErrorCode::kModel, "no sentence of ", options.task.data.subset,
               " is left to translate (", job.dataset.size(), " in the data)");
  auto batches = batch_by_size(job.dataset, order, options.batch);
  if (ssize(batches.back().size()) % options.batch.multiple != 0 &&
      quirks.meets(Quirk::kDropRaggedLastBatch)) {
    batches.pop_back();
  }
  Batches own;
  for (std::int64_t i = options.shard; i < ssize(batches.size()); i += options.shards) {
    own.push_back(std::move(batches[usize(i)]));
  }
  return own;
}

std::vector<SentenceResult> score(const Generator& generator, const GenerateJob& job,
                                  const std::vector<Sentence>& rows) {
  ScoreRequest request = job.task.score_request(rows, job.options.request);
  request.attention = needs_attention(job.options.output);
  return generator.score(request);
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
  const std::string line = concat("Generate ", options.task.data.subset,
                                  " with beam=", options.search.beam, ": ", lines.score());
  if (options.output.json) {
    // Standard output holds one JSON object a line and nothing else.
    fairseq_log(LogLevel::kInfo, kLogger, line);
  } else {
    output.append(line + "\n");
    output.flush();
  }
}

void write_statistics(const Generator& generator, const GenerateOptions& options,
                      const runtime::ScheduleCounters& schedule,
                      const std::optional<QualityFigures>& quality) {
  if (!options.stats_path) return;
  const Statistics counters = generator.statistics();
  const ModelInfo& model = generator.model_info();
  nlohmann::json json{{"version", version()},
                      {"architecture", model.architecture},
                      {"parameters", model.parameters},
                      {"pack_caches_read", model.pack_caches_read},
                      {"pack_caches_written", model.pack_caches_written},
                      {"engine", counters.engine},
                      {"isa", counters.isa},
                      {"cross_attention", counters.cross_attention},
                      {"self_attention", counters.self_attention},
                      {"sentences", counters.sentences},
                      {"source_tokens", counters.source_tokens},
                      {"generated_tokens", counters.generated_tokens},
                      {"batches", schedule.batches},
                      {"groups", schedule.groups},
                      {"splits", schedule.splits},
                      {"repeated_sentences", schedule.repeated},
                      {"encoded_sentences", counters.encoded_sentences},
                      {"selected_tokens", counters.selected_tokens},
                      {"steps", counters.steps},
                      {"decoder_rows", counters.decoder_rows},
                      {"encode_seconds", counters.encode_seconds},
                      {"decode_seconds", counters.decode_seconds},
                      {"cross_cache_bytes", counters.cross_cache_bytes},
                      {"self_cache_bytes", counters.self_cache_bytes},
                      {"cross_cache_bytes_mha_copied", counters.cross_cache_bytes_mha_copied},
                      {"cross_cache_bytes_mha_shared", counters.cross_cache_bytes_mha_shared},
                      {"cross_cache_bytes_el", counters.cross_cache_bytes_el}};
  if (quality) json["quality"] = quality_json(*quality);
  OutputFile file = *options.stats_path == "-" ? OutputFile::standard_error()
                                               : OutputFile::create(*options.stats_path);
  file.append(json.dump(2) + "\n");
  file.flush();
}

}  // namespace

namespace {

// Scores the references batch by batch. Returns seconds without what `take` took.
double score_batches(const Generator& generator, const GenerateJob& job, const Batches& batches,
                     const TakeResults& take) {
  double seconds = 0.0;
  for (const auto& batch : batches) {
    const std::vector<Sentence> rows = collate(
        job.dataset, batch,
        {job.task.source_dictionary().special().pad, job.options.output.replace_unk.has_value()});
    const Clock::time_point start = Clock::now();
    const auto results = score(generator, job, rows);
    seconds += std::chrono::duration<double>(Clock::now() - start).count();
    take(rows, results);
  }
  return seconds;
}

}  // namespace

void translate_dataset(const Generator& generator, const GenerateJob& job, OutputFile& output,
                       const std::optional<QualityFigures>& quality) {
  const GenerateOptions& options = job.options;
  QuirkLog quirks = options.quirks;
  const Batches batches = plan_batches(generator, job, quirks);
  std::int64_t planned = 0;
  for (const auto& batch : batches) planned += ssize(batch.size());
  ResultLines lines(options.output, {job.task.source_dictionary(), job.task.target_dictionary(),
                                     job.dataset.has_targets(), job.task.hidden_tokens()});
  ELBEAM_CHECK(options.request.prefix_size <= 0 || job.dataset.has_targets(), ErrorCode::kUsage,
               "--prefix-size needs references, and the data has none");
  ELBEAM_CHECK(!options.score_reference || job.dataset.has_targets(), ErrorCode::kUsage,
               "--score-reference needs references, and the data has none");
  Totals totals;
  runtime::ScheduleCounters schedule;
  {
    const DecodingScope scope;
    ProgressBar progress(planned, options.output.progress_bar);
    const auto take = [&](const std::vector<Sentence>& rows,
                          const std::vector<SentenceResult>& results) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        output.append(lines.add(rows[i], results[i].hypotheses));
        totals.tokens += ssize(results[i].hypotheses.front().tokens.size());
      }
      output.flush();
      totals.sentences += ssize(rows.size());
      progress.update(totals.sentences);
    };
    if (options.score_reference) {
      totals.seconds = score_batches(generator, job, batches, take);
    } else {
      warn_of_unknown_draws(generator, options);
      schedule = decode_batches(generator, job, batches, &quirks, take);
      totals.seconds = schedule.seconds;
    }
  }
  log_totals(totals);
  if (job.dataset.has_targets()) write_score(lines, options, output);
  write_statistics(generator, options, schedule, quality);
}

void run_generate(const GenerateOptions& wanted) {
  GenerateOptions options = wanted;
  const std::unique_ptr<Task> task = make_task(options.task);
  options.search.suppressed_sequences =
      read_suppressed(options.suppress_path, task->target_dictionary());
  const std::unique_ptr<GenerationDataset> dataset = task->load_split();
  const GenerateJob job{options, *task, *dataset};
  options.load.validate();
  // The lossless model first, and one model at a time: two may not fit into memory.
  std::optional<QualitySample> exact;
  if (measures_quality(job))
    exact = decode_sample(load_generator(*task, lossless(options.load), kLogger), job);
  const Generator generator = load_generator(*task, options.load, kLogger);
  std::optional<QualityFigures> quality;
  if (exact) quality = check_quality(*exact, decode_sample(generator, job), job);
  // Opened last: a run that cannot start must not empty the results of an earlier one.
  OutputFile output = open_output(options);
  translate_dataset(generator, job, output, quality);
}

}  // namespace elbeam::fairseq
