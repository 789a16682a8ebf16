#include <elbeam/eval/metrics.hpp>

#include "base/check.hpp"

#include <string_view>
#include <vector>

namespace elbeam::eval {

Score Metric::corpus_score(std::span<const double> statistics) const {
  std::vector<double> sums(size(), 0.0);
  for (std::size_t i = 0; i < statistics.size(); ++i) sums[i % sums.size()] += statistics[i];
  return score(sums);
}

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
      "rouge155-1 to rouge155-9, rouge155-L, rouge155-W, rouge155-S and rouge155-SU");
}

}  // namespace elbeam::eval
