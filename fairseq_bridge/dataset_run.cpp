#include "fairseq_bridge/dataset_run.hpp"

#include <elbeam/random.hpp>

#include "base/checked_math.hpp"
#include "fairseq_bridge/fairseq_log.hpp"

#include <deque>
#include <optional>
#include <utility>

namespace elbeam::fairseq {
namespace {

// The main branch indexes a table of the batch's size by the sentences' numbers: it fails for those
// beyond, and mixes up the first step's penalties of the others.
void check_diverse_batch(const std::vector<Sentence>& rows, QuirkLog& quirks) {
  for (std::int64_t i = 0; i < ssize(rows.size()); ++i) {
    const std::int64_t id = rows[usize(i)].id;
    if (id >= ssize(rows.size())) return quirks.fails_at(Quirk::kDiversityIndexesIds);
    if (id != i) quirks.meets(Quirk::kDiversityIndexesIds);
  }
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
  for (const Sentence& row : rows) request.sentence_ids.push_back(row.id);
  return request;
}

// The batches of the run, one after the other.
class BatchReader {
 public:
  BatchReader(const GenerateJob& job, const Batches& batches, QuirkLog* quirks)
      : job_(job), batches_(batches), quirks_(quirks) {}

  std::optional<std::vector<Sentence>> next() {
    if (number_ == batches_.size()) return std::nullopt;
    const GenerateOptions& options = job_.options;
    std::vector<Sentence> rows = collate(
        job_.dataset, batches_[number_++],
        {job_.task.source_dictionary().special().pad, options.output.replace_unk.has_value()});
    if (options.search.strategy == Strategy::kDiverseBeam && quirks_ != nullptr)
      check_diverse_batch(rows, *quirks_);
    return rows;
  }

 private:
  const GenerateJob& job_;
  const Batches& batches_;
  QuirkLog* quirks_;  // or nullptr
  std::size_t number_ = 0;
};

// torch's generator as it is when fairseq decodes its first batch: building the models has drawn
// from it, and so has opening the data.
RandomStream random_stream(const Generator& generator, const GenerateOptions& options) {
  RandomStream random(options.seed);
  if (options.search.strategy != Strategy::kSampling) return random;
  const auto draws = generator.model_info().initialisation_draws;
  constexpr std::int64_t kDrawsOfDataIterator = 2;
  random.skip(static_cast<std::uint64_t>(draws.value_or(0) + kDrawsOfDataIterator));
  return random;
}

}  // namespace

void warn_of_unknown_draws(const Generator& generator, const GenerateOptions& options) {
  if (options.search.strategy != Strategy::kSampling || options.search.counter_draws ||
      generator.model_info().initialisation_draws) {
    return;
  }
  fairseq_log(LogLevel::kWarning, "fairseq_cli.generate",
              "samples are not those of fairseq: how many random numbers it draws while it builds "
              "this architecture is not known");
}

runtime::ScheduleCounters decode_batches(const Generator& generator, const GenerateJob& job,
                                         const Batches& batches, QuirkLog* quirks,
                                         const TakeResults& take) {
  RandomStream random = random_stream(generator, job.options);
  runtime::Scheduler scheduler(generator, job.options.search, job.options.schedule);
  BatchReader reader(job, batches, quirks);
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
  return scheduler.counters();
}

}  // namespace elbeam::fairseq
