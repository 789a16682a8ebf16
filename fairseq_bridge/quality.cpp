#include "fairseq_bridge/quality.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/batching.hpp"
#include "fairseq_bridge/fairseq_log.hpp"
#include "fairseq_bridge/interrupt.hpp"
#include "fairseq_bridge/result_lines.hpp"
#include "text/python_format.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace elbeam::fairseq {
namespace {

// Numbers of the sample's sentences, shortest first. Sentences that are too long are left out: the
// run itself says so.
std::vector<std::int64_t> choose_sample(const Generator& generator, const GenerateJob& job) {
  const SizeLimits limits = job.task.size_limits(generator.model_info());
  std::vector<std::int64_t> fitting;
  for (const std::int64_t id : job.dataset.ordered_indices(job.options.shuffle_seed)) {
    if (job.dataset.source_size(id) <= limits.source &&
        job.dataset.target_size(id) <= limits.target)
      fitting.push_back(id);
  }
  const std::int64_t size = ssize(fitting.size());
  const std::int64_t wanted = std::min(job.options.quality.sample, size);
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < wanted; ++i)
    chosen.push_back(fitting[usize((2 * i + 1) * size / (2 * wanted))]);
  return chosen;
}

std::string difference(const QualityFigures& figures) {
  using text::python_fixed;
  std::string text =
      concat("of ", text::python_thousands(figures.sentences), " sentences (",
             text::python_thousands(figures.of), " in the data) ",
             text::python_thousands(figures.equal), " have the lossless output (",
             python_fixed(100.0 * static_cast<double>(figures.equal) /
                              static_cast<double>(std::max<std::int64_t>(1, figures.sentences)),
                          1),
             " %)");
  if (figures.bleu) {
    text += concat("; BLEU4 ", python_fixed(*figures.bleu, 2), ", lossless ",
                   python_fixed(*figures.lossless_bleu, 2), ": a loss of ",
                   python_fixed(figures.loss(), 2));
  }
  return text;
}

}  // namespace

std::string lossy_options(const LoadOptions& load) {
  std::string text;
  for (const auto& [dtype, flag] : {std::pair{DType::kFp16, "--dtype fp16"},
                                    {DType::kBf16, "--dtype bf16"},
                                    {DType::kInt8, "--dtype int8"}}) {
    if (load.dtype == dtype) text = flag;
  }
  for (const auto& [path, flag] : {std::pair{&load.vocabulary.list_path, "--vocabulary-list"},
                                   {&load.vocabulary.lexicon_path, "--lexical-shortlist"}}) {
    if (!path->empty()) text += concat(text.empty() ? "" : " ", flag, " ", *path);
  }
  return text;
}

LoadOptions lossless(LoadOptions load) {
  if (load.dtype != DType::kFp64) load.dtype = DType::kFp32;
  load.vocabulary = {};
  return load;
}

bool measures_quality(const GenerateJob& job) {
  const QualityOptions& quality = job.options.quality;
  if (quality.max_loss) {
    ELBEAM_CHECK(!job.options.score_reference, ErrorCode::kUsage,
                 "--max-quality-loss compares translations, and --score-reference makes none");
    ELBEAM_CHECK(quality.sample > 0, ErrorCode::kUsage,
                 "--max-quality-loss needs sentences to measure: give a --quality-sample above 0");
    ELBEAM_CHECK(job.dataset.has_targets(), ErrorCode::kUsage,
                 "--max-quality-loss needs references, and the data has none");
  }
  return !lossy_options(job.options.load).empty() && !job.options.score_reference &&
         quality.sample > 0;
}

QualitySample decode_sample(const Generator& generator, const GenerateJob& job) {
  const Batches batches =
      batch_by_size(job.dataset, choose_sample(generator, job), job.options.batch);
  OutputOptions output = job.options.output;
  output.quiet = true;
  output.alignment = PrintAlignment::kNone;
  output.scoring.name = "bleu";
  ResultLines lines(output, {job.task.source_dictionary(), job.task.target_dictionary(),
                             job.dataset.has_targets(), job.task.hidden_tokens()});
  QualitySample sample;
  const DecodingScope scope;
  decode_batches(
      generator, job, batches, nullptr,
      [&](const std::vector<Sentence>& rows, const std::vector<SentenceResult>& results) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
          lines.add(rows[i], results[i].hypotheses);
          // Constraints that cannot be met leave a sentence without any hypothesis.
          const auto& hypotheses = results[i].hypotheses;
          sample.outputs.push_back(hypotheses.empty() ? std::vector<std::int64_t>{}
                                                      : hypotheses.front().tokens);
        }
      });
  if (job.dataset.has_targets()) sample.bleu = lines.bleu();
  return sample;
}

QualityFigures check_quality(const QualitySample& exact, const QualitySample& lossy,
                             const GenerateJob& job) {
  ELBEAM_INVARIANT(exact.outputs.size() == lossy.outputs.size());
  QualityFigures figures;
  figures.sentences = ssize(exact.outputs.size());
  figures.of = job.dataset.size();
  for (std::size_t i = 0; i < exact.outputs.size(); ++i)
    figures.equal += static_cast<std::int64_t>(exact.outputs[i] == lossy.outputs[i]);
  figures.bleu = lossy.bleu;
  figures.lossless_bleu = exact.bleu;
  const std::string options = lossy_options(job.options.load);
  const auto& allowed = job.options.quality.max_loss;
  ELBEAM_CHECK(!allowed || figures.loss() <= *allowed, ErrorCode::kQuality, options,
               " loses more than --max-quality-loss ", text::python_repr(*allowed), ": ",
               difference(figures), ". Nothing was written");
  fairseq_log(LogLevel::kInfo, "fairseq_cli.generate", concat(options, ": ", difference(figures)));
  return figures;
}

nlohmann::json quality_json(const QualityFigures& figures) {
  nlohmann::json json{{"sentences", figures.sentences}, {"equal", figures.equal}};
  if (figures.bleu) {
    json["bleu"] = *figures.bleu;
    json["lossless_bleu"] = *figures.lossless_bleu;
  }
  return json;
}

}  // namespace elbeam::fairseq
