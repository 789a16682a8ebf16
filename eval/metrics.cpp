#include <elbeam/eval/metrics.hpp>

#include "base/check.hpp"

#include <string_view>
#include <utility>
#include <vector>

namespace elbeam::eval {

Score Metric::corpus_score(std::span<const double> statistics) const {
  std::vector<double> sums(size(), 0.0);
  for (std::size_t i = 0; i < statistics.size(); ++i) sums[i % sums.size()] += statistics[i];
  return score(sums);
}

namespace {

// "distinct2" and the like; nullptr for other names.
std::unique_ptr<const Metric> statistic_of(std::string_view name) {
  if (name == "length-ratio") return make_text_statistic(TextStatistic::kLengthRatio, 1);
  if (name == "coverage") return make_text_statistic(TextStatistic::kCoverage, 1);
  if (name == "density") return make_text_statistic(TextStatistic::kDensity, 1);
  constexpr std::pair<std::string_view, TextStatistic> kOfNgrams[] = {
      {"distinct", TextStatistic::kDistinct},
      {"repetition", TextStatistic::kRepetition},
      {"novelty", TextStatistic::kNovelty}};
  for (const auto& [prefix, which] : kOfNgrams) {
    if (name.size() == prefix.size() + 1 && name.starts_with(prefix) && name.back() >= '1' &&
        name.back() <= '9') {
      return make_text_statistic(which, name.back() - '0');
    }
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<const Metric> make_metric(const std::string& name, const MetricOptions& options) {
  if (name == "bleu") return make_bleu(options.bleu);
  if (name == "chrf") return make_chrf(options.chrf);
  if (name == "chrf++") {
    ChrfOptions with_words = options.chrf;
    if (with_words.word_order == 0) with_words.word_order = 2;
    return make_chrf(with_words);
  }
  if (name == "ter") return make_ter(options.ter);
  if (name == "wer" || name == "cer") {
    WerOptions rate = options.wer;
    rate.characters = name == "cer";
    return make_wer(rate);
  }
  if (name == "meteor") return make_meteor(options.meteor);
  if (name == "exact-match") return make_exact_match();
  if (name == "token-f1") return make_token_f1();
  if (auto statistic = statistic_of(name)) return statistic;
  if (name.starts_with("rouge155-")) {
    Rouge155Options rouge = options.rouge155;
    rouge.type = name.substr(std::string_view("rouge155-").size());
    return make_rouge155(rouge);
  }
  if (name.starts_with("rouge")) {
    RougeOptions rouge = options.rouge;
    rouge.type = name.substr(std::string_view("rouge").size());
    return make_rouge(rouge);
  }
  fail(
      ErrorCode::kUsage, "unknown metric ", quoted(name),
      "; there are bleu, chrf, chrf++, ter, wer, cer, meteor, rouge1 to rouge9, rougeL, rougeLsum, "
      "rouge155-1 to rouge155-9, rouge155-L, rouge155-W, rouge155-S, rouge155-SU, exact-match, "
      "token-f1, length-ratio, coverage, density, distinctN, repetitionN and noveltyN");
}

}  // namespace elbeam::eval
