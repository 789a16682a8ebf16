#include "fairseq_bridge/text_scorer.hpp"

#include <elbeam/eval/metrics.hpp>

#include "base/check.hpp"
#include "text/python_format.hpp"

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace elbeam::fairseq {
namespace {

std::unique_ptr<const eval::Metric> metric_of(const ScoringOptions& options) {
  eval::MetricOptions metrics;
  if (options.name == "sacrebleu") {
    metrics.bleu.tokenize = options.tokenizer;
    metrics.bleu.lowercase = options.lowercase;
    metrics.bleu.characters = options.characters;
    return eval::make_bleu(metrics.bleu);
  }
  metrics.wer = {options.tokenizer, options.lowercase, options.remove_punctuation,
                 options.characters};
  if (options.name == "wer") return eval::make_wer(metrics.wer);
  return eval::make_metric(options.name, metrics);
}

eval::Evaluation evaluation_of(const ScoringOptions& options) {
  std::vector<std::unique_ptr<const eval::Metric>> metrics;
  if (options.name == "rouge") {
    for (const char* type : {"1", "2", "L"}) metrics.push_back(eval::make_rouge({type, false}));
  } else {
    metrics.push_back(metric_of(options));
  }
  return eval::Evaluation(std::move(metrics), {});
}

}  // namespace

TextScorer::TextScorer(const ScoringOptions& options)
    : name_(options.name), evaluation_(evaluation_of(options)) {}

void TextScorer::add(const std::string& reference, const std::string& hypothesis) {
  const std::string_view references[] = {reference};
  const eval::Segment segment{hypothesis, references, {}};
  evaluation_.add({&segment, 1});
}

std::string TextScorer::result_string() const {
  const auto score = [this](std::size_t metric) {
    return evaluation_.segments() == 0 ? 0.0 : evaluation_.score(metric).score;
  };
  const auto number = [&score](int digits) { return text::python_fixed(score(0), digits); };
  if (name_ == "wer") return "WER: " + number(2);
  if (name_ == "meteor") return "METEOR: " + number(4);
  if (name_ == "rouge") {
    const auto percent = [&score](std::size_t metric) {
      return text::python_fixed(100 * score(metric), 2);
    };
    return concat("ROUGE-1/2/L = ", percent(0), "/", percent(1), "/", percent(2));
  }
  return sacrebleu_format(evaluation_);
}

std::string sacrebleu_format(const eval::Evaluation& evaluation) {
  const std::string name = evaluation.metric(0).name();
  if (evaluation.segments() == 0) return name + " = 0.00";
  const eval::Score score = evaluation.score(0);
  return concat(name, " = ", text::python_fixed(score.score, 2), score.details.empty() ? "" : " ",
                score.details);
}

}  // namespace elbeam::fairseq
