// BLEU as sacrebleu/metrics/bleu.py.
#include <elbeam/eval/metrics.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "eval/ngram_matcher.hpp"
#include "eval/signature.hpp"
#include "eval/tokenizers.hpp"
#include "eval/word_ids.hpp"
#include "text/python_format.hpp"
#include "text/python_string.hpp"
#include "text/unicode.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace elbeam::eval {
namespace {

constexpr double kLogOfZero = -9999999999.0;  // sacrebleu's my_log(0)

struct Counts {
  std::vector<double> correct;
  std::vector<double> total;
  double system_length = 0;
  double reference_length = 0;
};

double brevity_penalty(double system_length, double reference_length) noexcept {
  if (system_length >= reference_length) return 1.0;
  return system_length > 0 ? std::exp(1 - reference_length / system_length) : 0.0;
}

// One thread's memory for measure().
struct Scratch {
  std::vector<std::string> texts;  // tokenized: what the words of `ids` point into
  WordIds words;
  std::vector<std::vector<std::uint32_t>> ids;
  std::vector<NgramMatcher::Ids> references;
  std::vector<std::int64_t> matches;
  NgramMatcher matcher;
};

class Bleu final : public Metric {
 public:
  explicit Bleu(const BleuOptions& options)
      : options_(options), tokenizer_(make_tokenizer(options.tokenize, options.segmentation)) {
    const std::string& method = options_.smooth_method;
    ELBEAM_CHECK(method == "none" || method == "floor" || method == "add-k" || method == "exp",
                 ErrorCode::kUsage, "unknown smoothing method ", quoted(method),
                 "; there are none, floor, add-k and exp");
    ELBEAM_CHECK(options_.max_order >= 1 && options_.max_order <= 16, ErrorCode::kUsage,
                 "BLEU's highest n-gram order must be 1 to 16, got ", options_.max_order);
    if (options_.smooth_value) {
      ELBEAM_CHECK(std::isfinite(*options_.smooth_value) && *options_.smooth_value >= 0,
                   ErrorCode::kUsage, "the smoothing value must be a number >= 0, got ",
                   *options_.smooth_value);
    }
    smooth_value_ = options_.smooth_value.value_or(method == "add-k" ? 1.0 : 0.1);
  }

  std::string name() const override { return "BLEU"; }
  std::size_t size() const override { return 2 + 2 * orders(); }

  std::string signature(const SignatureContext& context) const override {
    std::string smooth = options_.smooth_method;
    if (smooth == "floor" || smooth == "add-k") {
      smooth += "[" + text::python_fixed(smooth_value_, 2) + "]";
    }
    return signature_of(context, concat("case:", options_.lowercase ? "lc" : "mixed", "|eff:",
                                        yes_no(options_.effective_order), "|tok:", tokenizer_name(),
                                        options_.characters ? "+char" : "", "|smooth:", smooth));
  }

  void measure(const Segment& segment, std::span<double> statistics) const override {
    thread_local Scratch scratch;
    ELBEAM_INVARIANT(statistics.size() == size() && !segment.references.empty());
    tokenize(segment, scratch);
    const NgramMatcher::Ids hypothesis = scratch.ids[0];
    scratch.references.assign(scratch.ids.begin() + 1,
                              scratch.ids.begin() + 1 + ssize(segment.references.size()));
    scratch.matches.resize(orders());
    scratch.matcher.match(hypothesis, scratch.references, scratch.matches);
    statistics[0] = static_cast<double>(hypothesis.size());
    statistics[1] = static_cast<double>(closest_length(hypothesis.size(), scratch.references));
    for (std::size_t n = 1; n <= orders(); ++n) {
      statistics[1 + n] = static_cast<double>(scratch.matches[n - 1]);
      statistics[1 + orders() + n] =
          hypothesis.size() >= n ? static_cast<double>(hypothesis.size() - n + 1) : 0.0;
    }
  }

  Score score(std::span<const double> sums) const override {
    ELBEAM_INVARIANT(sums.size() == size());
    const auto correct = sums.subspan(2, orders());
    const auto total = sums.subspan(2 + orders());
    return score(
        {{correct.begin(), correct.end()}, {total.begin(), total.end()}, sums[0], sums[1]});
  }

 private:
  // "spm" is an older name of sacrebleu's.
  std::string tokenizer_name() const {
    return options_.tokenize == "spm" ? "flores101" : options_.tokenize;
  }

  std::size_t orders() const { return usize(options_.max_order); }

  void tokenize(const Segment& segment, Scratch& scratch) const {
    const std::size_t count = 1 + segment.references.size();
    scratch.texts.resize(count);
    if (scratch.ids.size() < count) scratch.ids.resize(count);
    scratch.words.clear();
    for (std::size_t i = 0; i < count; ++i) {
      std::string_view line = i == 0 ? segment.hypothesis : segment.references[i - 1];
      std::string lower;
      if (options_.lowercase) line = lower = text::lower(line);
      scratch.texts[i] = (*tokenizer_)(text::strip_right(line));
      if (options_.characters) scratch.texts[i] = spread_characters(join_words(scratch.texts[i]));
      scratch.words.split(scratch.texts[i], scratch.ids[i]);
    }
  }

  // The reference length closest to the hypothesis's; of two as close the shorter.
  static std::size_t closest_length(std::size_t length, std::span<const NgramMatcher::Ids> all) {
    const auto distance = [length](std::size_t other) {
      return other > length ? other - length : length - other;
    };
    std::size_t closest = all.front().size();
    for (const NgramMatcher::Ids reference : all) {
      const std::size_t other = reference.size();
      if (distance(other) < distance(closest) ||
          (distance(other) == distance(closest) && other < closest)) {
        closest = other;
      }
    }
    return closest;
  }

  Score score(Counts counts) const {
    std::vector<double> precisions(orders(), 0.0);
    const double bp = brevity_penalty(counts.system_length, counts.reference_length);
    Score result;
    const bool any = std::any_of(counts.correct.begin(), counts.correct.end(),
                                 [](double matches) { return matches != 0; });
    if (any) result.score = bp * std::exp(mean_log_precision(counts, precisions));
    describe(counts, precisions, bp, result);
    return result;
  }

  double mean_log_precision(Counts& counts, std::vector<double>& precisions) const {
    const std::string& method = options_.smooth_method;
    double smoothing = 1.0;
    std::size_t effective_order = orders();
    for (std::size_t n = 1; n <= orders(); ++n) {
      double& correct = counts.correct[n - 1];
      double& total = counts.total[n - 1];
      if (method == "add-k" && n > 1) {
        correct += smooth_value_;
        total += smooth_value_;
      }
      if (total == 0) break;
      if (options_.effective_order) effective_order = n;
      if (correct != 0) {
        precisions[n - 1] = 100.0 * correct / total;
      } else if (method == "exp") {
        smoothing *= 2;
        precisions[n - 1] = 100.0 / (smoothing * total);
      } else if (method == "floor") {
        precisions[n - 1] = 100.0 * smooth_value_ / total;
      }
    }
    double sum = 0;
    for (std::size_t n = 0; n < effective_order; ++n) {
      sum += precisions[n] == 0 ? kLogOfZero : std::log(precisions[n]);
    }
    return sum / static_cast<double>(effective_order);
  }

  static void describe(const Counts& counts, const std::vector<double>& precisions, double bp,
                       Score& result) {
    using text::python_fixed;
    std::string joined;
    for (std::size_t n = 0; n < precisions.size(); ++n) {
      joined += (n == 0 ? "" : "/") + python_fixed(precisions[n], 1);
      result.further.push_back({"precision" + std::to_string(n + 1), precisions[n]});
    }
    const double ratio =
        counts.reference_length != 0 ? counts.system_length / counts.reference_length : 0.0;
    result.further.push_back({"bp", bp});
    result.further.push_back({"hyp_len", counts.system_length});
    result.further.push_back({"ref_len", counts.reference_length});
    result.details =
        concat(joined, " (BP = ", python_fixed(bp, 3), " ratio = ", python_fixed(ratio, 3),
               " hyp_len = ", python_fixed(counts.system_length, 0),
               " ref_len = ", python_fixed(counts.reference_length, 0), ")");
  }

  BleuOptions options_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  double smooth_value_ = 0;
};

}  // namespace

std::unique_ptr<const Metric> make_bleu(const BleuOptions& options) {
  return std::make_unique<Bleu>(options);
}

}  // namespace elbeam::eval
