#include <elbeam/eval/metrics.hpp>

#include "base/check.hpp"

namespace elbeam::eval {

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
  fail(ErrorCode::kUsage, "unknown metric ", quoted(name),
       "; there are bleu, chrf, chrf++, ter, wer and cer");
}

}  // namespace elbeam::eval
