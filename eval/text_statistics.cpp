#include <elbeam/eval/metrics.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "eval/signature.hpp"
#include "eval/word_ids.hpp"
#include "text/python_string.hpp"
#include "text/unicode.hpp"

#include <algorithm>
#include <set>

namespace elbeam::eval {
namespace {

using Ids = std::vector<std::uint32_t>;

struct Share {
  double part = 0;
  double whole = 0;
};

using Grams = std::set<Ids>;

Ids gram_at(const Ids& words, std::size_t i, std::size_t n) {
  return {words.begin() + ssize(i), words.begin() + ssize(i + n)};
}

std::size_t count_grams(const Ids& words, std::size_t n) {
  return words.size() >= n ? words.size() - n + 1 : 0;
}

Grams grams_of(const Ids& words, std::size_t n) {
  Grams grams;
  for (std::size_t i = 0; i < count_grams(words, n); ++i) grams.insert(gram_at(words, i, n));
  return grams;
}

// The lengths of the longest pieces of the source that the summary is made of, taken greedily from
// its beginning (Grusky et al. 2018, figure 3: the search goes on behind each match in the source).
std::vector<double> fragments_of(const Ids& summary, const Ids& source) {
  std::vector<double> lengths;
  for (std::size_t i = 0; i < summary.size();) {
    std::size_t longest = 0;
    std::size_t length = 0;
    for (std::size_t j = 0; j < source.size(); j += std::max<std::size_t>(length, 1)) {
      length = 0;
      while (i + length < summary.size() && j + length < source.size() &&
             summary[i + length] == source[j + length]) {
        ++length;
      }
      longest = std::max(longest, length);
    }
    if (longest > 0) lengths.push_back(static_cast<double>(longest));
    i += std::max<std::size_t>(longest, 1);
  }
  return lengths;
}

class Statistic final : public Metric {
 public:
  Statistic(TextStatistic which, int order) : which_(which), order_(order) {
    ELBEAM_CHECK(order >= 1 && order <= 9, ErrorCode::kUsage,
                 "the order of n-grams must be 1 to 9, got ", order);
  }

  std::string name() const override {
    switch (which_) {
      case TextStatistic::kLengthRatio:
        return "length-ratio";
      case TextStatistic::kDistinct:
        return "distinct" + std::to_string(order_);
      case TextStatistic::kRepetition:
        return "repetition" + std::to_string(order_);
      case TextStatistic::kNovelty:
        return "novelty" + std::to_string(order_);
      case TextStatistic::kCoverage:
        return "coverage";
      case TextStatistic::kDensity:
        return "density";
    }
    return "";
  }
  std::size_t size() const override { return 2; }
  bool needs_source() const override {
    return which_ == TextStatistic::kNovelty || which_ == TextStatistic::kCoverage ||
           which_ == TextStatistic::kDensity;
  }
  bool higher_is_better() const override { return which_ != TextStatistic::kRepetition; }

  std::string signature(const SignatureContext& context) const override {
    return signature_of(context,
                        concat("case:lc|tok:split|over:",
                               which_ == TextStatistic::kLengthRatio ? "corpus" : "segments"),
                        "elbeam");
  }

  void measure(const Segment& segment, std::span<double> statistics) const override {
    ELBEAM_INVARIANT(statistics.size() == size() && !segment.references.empty());
    if (which_ == TextStatistic::kLengthRatio) {
      const auto words = [](std::string_view line) {
        return static_cast<double>(text::split_words(line).size());
      };
      statistics[0] = words(segment.hypothesis);
      statistics[1] = 0;
      for (const std::string_view reference : segment.references) {
        statistics[1] += words(reference) / static_cast<double>(segment.references.size());
      }
      return;
    }
    const Share share = share_of(segment);
    statistics[0] = share.whole > 0 ? share.part / share.whole : 0.0;
    statistics[1] = 1;
  }

  Score score(std::span<const double> sums) const override {
    ELBEAM_INVARIANT(sums.size() == size());
    Score result;
    result.score = sums[1] > 0 ? sums[0] / sums[1] : 0.0;
    return result;
  }

 private:
  Share share_of(const Segment& segment) const {
    const std::string hypothesis_text = text::lower(segment.hypothesis);
    const std::string source_text = needs_source() ? text::lower(segment.source) : std::string();
    WordIds numbers;
    Ids hypothesis;
    Ids source;
    numbers.split(hypothesis_text, hypothesis);
    numbers.split(source_text, source);
    const auto n = usize(order_);
    Share share{0, static_cast<double>(count_grams(hypothesis, n))};
    if (which_ == TextStatistic::kNovelty) {
      const Grams known = grams_of(source, n);
      for (std::size_t i = 0; i < count_grams(hypothesis, n); ++i) {
        if (!known.contains(gram_at(hypothesis, i, n))) share.part += 1;
      }
    } else if (which_ == TextStatistic::kDistinct || which_ == TextStatistic::kRepetition) {
      const auto different = static_cast<double>(grams_of(hypothesis, n).size());
      share.part = which_ == TextStatistic::kDistinct ? different : share.whole - different;
    } else {
      share.whole = static_cast<double>(hypothesis.size());
      for (const double length : fragments_of(hypothesis, source)) {
        share.part += which_ == TextStatistic::kDensity ? length * length : length;
      }
    }
    return share;
  }

  TextStatistic which_;
  int order_;
};

}  // namespace

std::unique_ptr<const Metric> make_text_statistic(TextStatistic which, int order) {
  return std::make_unique<Statistic>(which, order);
}

}  // namespace elbeam::eval
