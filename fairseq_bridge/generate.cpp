#include "fairseq_bridge/generate.hpp"

#include <elbeam/random.hpp>

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
#include <deque>
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
std::vector<std::vector<std::int64_t>> plan_batches(const Generator& generator,
                                                    const GenerateJob& job, QuirkLog& quirks) {
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
  std::vector<std::vector<std::int64_t>> own;
  for (std::int64_t i = options.shard; i < ssize(batches.size()); i += options.shards) {
    own.push_back(std::move(batches[usize(i)]));
  }
  return own;
}

// The main branch indexes a table of the batch's size by the sentences' numbers: it fails for those
// beyond, and mixes up the first step's penalties of the others.
void check_diverse_batch(const std::vector<Sentence>& rows, QuirkLog& quirks) {
  for (std::int64_t i = 0; i < ssize(rows.size()); ++i) {
    const std::int64_t id = rows[usize(i)].id;
    if (id >= ssize(rows.size())) return quirks.fails_at(Quirk::kDiversityIndexesIds);
    if (id != i) quirks.meets(Quirk::kDiversityIndexesIds);
  }
}

std::vector<SentenceResult> score(const Generator& generator, const GenerateJob& job,
                                  const std::vector<Sentence>& rows) {
  ScoreRequest request = job.task.score_request(rows, job.options.request);
  request.attention = needs_attention(job.options.output);
  return generator.score(request);
}

GenerateRequest generate_request(const GenerateJob& job, const std::vector<Sentence>& rows,
                                 RandomStream& random) {
  const GenerateOptions& options = job.options;
  GenerateRequest request = job.task.request(rows, options.request);
  if (options.search.strategy == Strategy::kDiverseBeam && options.search.diverse_cumulative &&
      has_quirk(options.quirks.compat(), Quirk::kDiversityIndexesIds)) {
    for (const Sentence& row : rows) request.diversity_ids.push_back(row.id);
  }
  request.attention = needs_attention(options.output) || options.search.coverage_penalty > 0;
  request.random = &random;
  return request;
}

// The batches of the run, one after the other.
class BatchReader {
 public:
  BatchReader(const GenerateJob& job, const std::vector<std::vector<std::int64_t>>& batches,
              QuirkLog& quirks)
      : job_(job), batches_(batches), quirks_(quirks) {}

  std::optional<std::vector<Sentence>> next() {
    if (number_ == batches_.size()) return std::nullopt;
    const GenerateOptions& options = job_.options;
    std::vector<Sentence> rows = collate(
        job_.dataset, batches_[number_++],
        {job_.task.source_dictionary().special().pad, options.output.replace_unk.has_value()});
    if (options.search.strategy == Strategy::kDiverseBeam) check_diverse_batch(rows, quirks_);
    return rows;
  }

 private:
  const GenerateJob& job_;
  const std::vector<std::vector<std::int64_t>>& batches_;
  QuirkLog& quirks_;
  std::size_t number_ = 0;
};

// torch's generator as it is when fairseq decodes its first batch: building the models has drawn
// from it, and so has opening the data.
RandomStream random_stream(const Generator& generator, const GenerateOptions& options) {
  RandomStream random(options.seed);
  if (options.search.strategy != Strategy::kSampling) return random;
  const auto draws = generator.model_info().initialisation_draws;
  if (!draws) {
    fairseq_log(
        LogLevel::kWarning, kLogger,
        "samples are not those of fairseq: how many random numbers it draws while it builds "
        "this architecture is not known");
  }
  constexpr std::int64_t kDrawsOfDataIterator = 2;
  random.skip(static_cast<std::uint64_t>(draws.value_or(0) + kDrawsOfDataIterator));
  return random;
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
                      const runtime::ScheduleCounters& schedule) {
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
                            {"batches", schedule.batches},
                            {"groups", schedule.groups},
                            {"splits", schedule.splits},
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
  QuirkLog quirks = options.quirks;
  const auto batches = plan_batches(generator, job, quirks);
  std::int64_t planned = 0;
  for (const auto& batch : batches) planned += ssize(batch.size());
  ResultLines lines(options.output, {job.task.source_dictionary(), job.task.target_dictionary(),
                                     job.dataset.has_targets(), job.task.hidden_tokens()});
  ELBEAM_CHECK(options.request.prefix_size <= 0 || job.dataset.has_targets(), ErrorCode::kUsage,
               "--prefix-size needs references, and the data has none");
  ELBEAM_CHECK(!options.score_reference || job.dataset.has_targets(), ErrorCode::kUsage,
               "--score-reference needs references, and the data has none");
  Totals totals;
  RandomStream random = random_stream(generator, options);
  runtime::Scheduler scheduler(generator, options.search, options.schedule);
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
    BatchReader reader(job, batches, quirks);
    if (options.score_reference) {
      while (const auto rows = reader.next()) {
        const Clock::time_point start = Clock::now();
        const auto results = score(generator, job, *rows);
        totals.seconds += std::chrono::duration<double>(Clock::now() - start).count();
        take(*rows, results);
      }
    } else {
      std::deque<std::vector<Sentence>> decoding;  // batches whose results are still to come
      scheduler.run(
          [&]() -> std::optional<GenerateRequest> {
            auto rows = reader.next();
            if (!rows) return std::nullopt;
            decoding.push_back(std::move(*rows));
            return generate_request(job, decoding.back(), random);
          },
          [&](const std::vector<SentenceResult>& results) {
            take(decoding.front(), results);
            decoding.pop_front();
          });
      totals.seconds = scheduler.counters().seconds;
    }
  }
  log_totals(totals);
  if (job.dataset.has_targets()) write_score(lines, options, output);
  write_statistics(generator, options, scheduler.counters());
}

void run_generate(const GenerateOptions& wanted) {
  GenerateOptions options = wanted;
  const std::unique_ptr<Task> task = make_task(options.task);
  options.search.suppressed_sequences =
      read_suppressed(options.suppress_path, task->target_dictionary());
  const Generator generator = load_generator(*task, options.load, kLogger);
  const std::unique_ptr<GenerationDataset> dataset = task->load_split();
  // Opened last: a run that cannot start must not empty the results of an earlier one.
  OutputFile output = open_output(options);
  translate_dataset(generator, {options, *task, *dataset}, output);
}

}  // namespace elbeam::fairseq
