// ROUGE as google-research's rouge_score/rouge_scorer.py.
#include <elbeam/eval/metrics.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "eval/common_subsequence.hpp"
#include "eval/ngram_matcher.hpp"
#include "eval/rouge_text.hpp"
#include "eval/signature.hpp"

#include <algorithm>

namespace elbeam::eval {
namespace {

// One thread's memory for measure().
struct Scratch {
  RougeTokenizer tokenizer;
  RougeTokens hypothesis;
  RougeTokens reference;
  NgramMatcher matcher;
  std::vector<std::int64_t> matches;
  std::vector<char> hits;
  std::vector<std::int64_t> left_hypothesis;  // of each word: occurrences not yet used up
  std::vector<std::int64_t> left_reference;
};

struct Counts {
  double matches = 0;
  double hypothesis = 0;
  double reference = 0;
};

struct Fractions {
  double precision = 0;
  double recall = 0;
  double fmeasure = 0;
};

Fractions fractions_of(const Counts& counts) {
  Fractions out;
  out.precision = counts.hypothesis > 0 ? counts.matches / counts.hypothesis : 0.0;
  out.recall = counts.reference > 0 ? counts.matches / counts.reference : 0.0;
  const double sum = out.precision + out.recall;
  out.fmeasure = sum > 0 ? 2 * out.precision * out.recall / sum : 0.0;
  return out;
}

Counts match_ngrams(int order, Scratch& scratch) {
  const auto n = usize(order);
  const auto grams = [n](const RougeTokens& tokens) {
    return tokens.words.size() >= n ? static_cast<double>(tokens.words.size() - n + 1) : 0.0;
  };
  scratch.matches.resize(n);
  const NgramMatcher::Ids reference = scratch.reference.words;
  scratch.matcher.match(scratch.hypothesis.words, {&reference, 1}, scratch.matches);
  return {static_cast<double>(scratch.matches.back()), grams(scratch.hypothesis),
          grams(scratch.reference)};
}

void count_words(const RougeTokens& tokens, std::size_t words, std::vector<std::int64_t>& counts) {
  counts.assign(words, 0);
  for (const std::uint32_t word : tokens.words) ++counts[word];
}

// A word of the reference that is in one of the subsequences counts as long as there are more of it
// in both texts.
Counts match_sentences(Scratch& scratch) {
  const RougeTokens& hypothesis = scratch.hypothesis;
  const RougeTokens& reference = scratch.reference;
  std::uint32_t largest = 0;
  for (const std::uint32_t word : hypothesis.words) largest = std::max(largest, word);
  for (const std::uint32_t word : reference.words) largest = std::max(largest, word);
  count_words(hypothesis, std::size_t{largest} + 1, scratch.left_hypothesis);
  count_words(reference, std::size_t{largest} + 1, scratch.left_reference);
  Counts counts{0, static_cast<double>(hypothesis.words.size()),
                static_cast<double>(reference.words.size())};
  for (std::size_t r = 0; r < reference.sentence_count(); ++r) {
    const auto sentence = reference.sentence(r);
    scratch.hits.assign(sentence.size(), 0);
    for (std::size_t h = 0; h < hypothesis.sentence_count(); ++h) {
      mark_common_subsequence(sentence, hypothesis.sentence(h), scratch.hits);
    }
    for (std::size_t i = 0; i < sentence.size(); ++i) {
      std::int64_t& of_hypothesis = scratch.left_hypothesis[sentence[i]];
      std::int64_t& of_reference = scratch.left_reference[sentence[i]];
      if (scratch.hits[i] == 0 || of_hypothesis == 0 || of_reference == 0) continue;
      counts.matches += 1;
      --of_hypothesis;
      --of_reference;
    }
  }
  return counts;
}

class Rouge final : public Metric {
 public:
  explicit Rouge(const RougeOptions& options) : options_(options) {
    const std::string& type = options_.type;
    const bool ngrams = type.size() == 1 && type[0] >= '1' && type[0] <= '9';
    ELBEAM_CHECK(ngrams || type == "L" || type == "Lsum", ErrorCode::kUsage, "unknown ROUGE type ",
                 quoted(type), "; there are 1 to 9, L and Lsum");
    order_ = ngrams ? type[0] - '0' : 0;
  }

  std::string name() const override { return "rouge" + options_.type; }
  std::size_t size() const override { return 4; }

  std::string signature(const SignatureContext& context) const override {
    return signature_of(
        context, concat("type:", name(), "|stemmer:", options_.stemmer ? "porter-nltk" : "no"),
        "rouge-score-0.1.2");
  }

  void measure(const Segment& segment, std::span<double> statistics) const override {
    thread_local Scratch scratch;
    ELBEAM_INVARIANT(statistics.size() == size() && !segment.references.empty());
    std::size_t bytes = segment.hypothesis.size();
    for (const std::string_view reference : segment.references) bytes += reference.size();
    const RougeStemmer stemmer = options_.stemmer ? RougeStemmer::kNltk : RougeStemmer::kNone;
    scratch.tokenizer.start({stemmer, nullptr, true}, bytes);
    scratch.tokenizer.tokenize(segment.hypothesis, scratch.hypothesis);
    Fractions best;
    for (std::size_t i = 0; i < segment.references.size(); ++i) {
      scratch.tokenizer.tokenize(segment.references[i], scratch.reference);
      const Fractions one = fractions_of(compare(scratch));
      if (i == 0 || one.fmeasure > best.fmeasure) best = one;
    }
    statistics[0] = best.precision;
    statistics[1] = best.recall;
    statistics[2] = best.fmeasure;
    statistics[3] = 1;
  }

  Score score(std::span<const double> sums) const override { return mean_of_segments(sums); }

 private:
  Counts compare(Scratch& scratch) const {
    if (order_ > 0) return match_ngrams(order_, scratch);
    if (options_.type == "Lsum") return match_sentences(scratch);
    const auto& hypothesis = scratch.hypothesis.words;
    const auto& reference = scratch.reference.words;
    return {static_cast<double>(common_subsequence_length(reference, hypothesis)),
            static_cast<double>(hypothesis.size()), static_cast<double>(reference.size())};
  }

  RougeOptions options_;
  int order_ = 0;  // of ROUGE-N
};

}  // namespace

std::unique_ptr<const Metric> make_rouge(const RougeOptions& options) {
  return std::make_unique<Rouge>(options);
}

}  // namespace elbeam::eval
