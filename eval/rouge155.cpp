// ROUGE as the original ROUGE-1.5.5.pl prints it.
#include <elbeam/eval/metrics.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "eval/common_subsequence.hpp"
#include "eval/ngram_matcher.hpp"
#include "eval/perl_random.hpp"
#include "eval/rouge_text.hpp"
#include "eval/signature.hpp"
#include "text/python_format.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

namespace elbeam::eval {
namespace {

// sprintf("%7.5f"), which the script does with each intermediate result.
double five_digits(double value) {
  return std::strtod(text::python_fixed(value, 5).c_str(), nullptr);
}

struct Counts {
  double hits = 0;
  double reference = 0;
  double hypothesis = 0;
};

// One thread's memory for measure().
struct Scratch {
  RougeTokenizer tokenizer;
  RougeTokens hypothesis;
  RougeTokens reference;
  NgramMatcher matcher;
  std::vector<std::int64_t> matches;
  std::vector<char> hits;
  std::vector<std::int64_t> left_hypothesis;
  std::vector<std::int64_t> left_reference;
  PairIds grams;
  std::vector<std::int64_t> gram_counts;
};

class Rouge155 final : public Metric {
 public:
  explicit Rouge155(const Rouge155Options& options) : options_(options) {
    const std::string& type = options_.type;
    const bool ngrams = type.size() == 1 && type[0] >= '1' && type[0] <= '9';
    ELBEAM_CHECK(ngrams || type == "L" || type == "W" || type == "S" || type == "SU",
                 ErrorCode::kUsage, "unknown type of ROUGE-1.5.5 ", quoted(type),
                 "; there are 1 to 9, L, W, S and SU");
    order_ = ngrams ? type[0] - '0' : 0;
    ELBEAM_CHECK(options_.weight > 0 && options_.weight <= 10, ErrorCode::kUsage,
                 "ROUGE-W's weight must be above 0 and at most 10, got ", options_.weight);
    ELBEAM_CHECK(options_.skip_distance >= -1, ErrorCode::kUsage,
                 "ROUGE-S's skip distance must be -1 (any) or more, got ", options_.skip_distance);
    ELBEAM_CHECK(options_.resamples >= 2 && options_.resamples <= 1'000'000, ErrorCode::kUsage,
                 "ROUGE-1.5.5's resamples must be 2 to 1000000, got ", options_.resamples);
    if (options_.stemmer) exceptions_ = ExceptionList::load(options_.exceptions_folder);
  }

  std::string name() const override {
    std::string out = "ROUGE-" + options_.type;
    if (options_.type == "W") out += "-" + concat(options_.weight);
    if (options_.type[0] == 'S') {
      out += options_.skip_distance < 0 ? "*" : std::to_string(options_.skip_distance);
    }
    return out;
  }
  std::size_t size() const override { return 4; }
  bool needs_segments() const override { return true; }

  std::string signature(const SignatureContext& context) const override {
    return signature_of(context,
                        concat("type:", name(), "|stemmer:", options_.stemmer ? "porter" : "no",
                               "|resamples:", options_.resamples, "|sentences:lines"),
                        "ROUGE-1.5.5");
  }

  void measure(const Segment& segment, std::span<double> statistics) const override {
    thread_local Scratch scratch;
    ELBEAM_INVARIANT(statistics.size() == size() && !segment.references.empty());
    std::size_t bytes = segment.hypothesis.size();
    for (const std::string_view reference : segment.references) bytes += reference.size();
    const RougeStemmer stemmer = options_.stemmer ? RougeStemmer::kRouge155 : RougeStemmer::kNone;
    scratch.tokenizer.start({stemmer, options_.stemmer ? &exceptions_ : nullptr, false}, bytes);
    scratch.tokenizer.tokenize(segment.hypothesis, scratch.hypothesis);
    Counts all;
    for (const std::string_view reference : segment.references) {
      scratch.tokenizer.tokenize(reference, scratch.reference);
      const Counts one = compare(scratch);
      all.hits += one.hits;
      all.reference += one.reference;
      all.hypothesis += one.hypothesis;
    }
    const double recall = rate(all.hits, all.reference);
    const double precision = rate(all.hits, all.hypothesis);
    const double mean = 0.5 * precision + 0.5 * recall;
    statistics[0] = precision;
    statistics[1] = recall;
    statistics[2] = mean > 0 ? five_digits(precision * recall / mean) : 0.0;
    statistics[3] = 1;
  }

  Score score(std::span<const double> sums) const override { return mean_of_segments(sums); }

  Score corpus_score(std::span<const double> statistics) const override;

 private:
  double rate(double hits, double count) const {
    if (count == 0) return 0.0;
    const double plain = hits / count;
    return five_digits(options_.type == "W" ? std::pow(plain, 1 / options_.weight) : plain);
  }

  Counts compare(Scratch& scratch) const {
    if (order_ > 0) return match_ngrams(scratch);
    if (options_.type == "L" || options_.type == "W") return match_sentences(scratch);
    return match_pairs(scratch);
  }

  Counts match_ngrams(Scratch& scratch) const {
    const auto n = usize(order_);
    const auto grams = [n](const RougeTokens& tokens) {
      return tokens.words.size() >= n ? static_cast<double>(tokens.words.size() - n + 1) : 0.0;
    };
    scratch.matches.resize(n);
    const NgramMatcher::Ids reference = scratch.reference.words;
    scratch.matcher.match(scratch.hypothesis.words, {&reference, 1}, scratch.matches);
    return {static_cast<double>(scratch.matches.back()), grams(scratch.reference),
            grams(scratch.hypothesis)};
  }

  Counts match_sentences(Scratch& scratch) const;
  double sentence_hits(std::span<const std::uint32_t> sentence, Scratch& scratch) const;
  Counts match_pairs(Scratch& scratch) const;
  double count_pairs(const RougeTokens& tokens, Scratch& scratch,
                     std::vector<std::int64_t>& counts) const;

  Rouge155Options options_;
  int order_ = 0;  // of ROUGE-N
  ExceptionList exceptions_;
};

// ROUGE-L, and ROUGE-W, where a run of n words counts n^weight. The script weighs the sum of the
// weighted sentence lengths once more; so does this.
Counts Rouge155::match_sentences(Scratch& scratch) const {
  const RougeTokens& hypothesis = scratch.hypothesis;
  const RougeTokens& reference = scratch.reference;
  const bool weighted = options_.type == "W";
  std::uint32_t largest = 0;
  for (const std::uint32_t word : hypothesis.words) largest = std::max(largest, word);
  for (const std::uint32_t word : reference.words) largest = std::max(largest, word);
  scratch.left_hypothesis.assign(std::size_t{largest} + 1, 0);
  scratch.left_reference.assign(std::size_t{largest} + 1, 0);
  for (const std::uint32_t word : hypothesis.words) ++scratch.left_hypothesis[word];
  for (const std::uint32_t word : reference.words) ++scratch.left_reference[word];
  Counts counts;
  for (std::size_t r = 0; r < reference.sentence_count(); ++r) {
    const auto sentence = reference.sentence(r);
    scratch.hits.assign(sentence.size(), 0);
    for (std::size_t h = 0; h < hypothesis.sentence_count(); ++h) {
      if (weighted) {
        mark_weighted_subsequence(sentence, hypothesis.sentence(h), options_.weight, scratch.hits);
      } else {
        mark_common_subsequence(sentence, hypothesis.sentence(h), scratch.hits);
      }
    }
    counts.hits += sentence_hits(sentence, scratch);
    const auto length = static_cast<double>(sentence.size());
    counts.reference += weighted ? std::pow(length, options_.weight) : length;
  }
  counts.hypothesis = static_cast<double>(hypothesis.words.size());
  if (weighted) {
    counts.reference = std::pow(counts.reference, options_.weight);
    counts.hypothesis = std::pow(counts.hypothesis, options_.weight);
  }
  return counts;
}

// Hits count as long as both texts have more of the word. A run ends before a word that is no hit;
// where its last word does not count any more the script goes on counting at the next run.
double Rouge155::sentence_hits(std::span<const std::uint32_t> sentence, Scratch& scratch) const {
  const bool weighted = options_.type == "W";
  double hits = 0;
  double run = 0;
  for (std::size_t i = 0; i < sentence.size(); ++i) {
    std::int64_t& of_hypothesis = scratch.left_hypothesis[sentence[i]];
    std::int64_t& of_reference = scratch.left_reference[sentence[i]];
    if (scratch.hits[i] == 0 || of_hypothesis == 0 || of_reference == 0) continue;
    --of_hypothesis;
    --of_reference;
    if (!weighted) {
      hits += 1;
      continue;
    }
    run += 1;
    if (i + 1 == sentence.size() || scratch.hits[i + 1] == 0) {
      hits += std::pow(run, options_.weight);
      run = 0;
    }
  }
  return hits;
}

// Counts each pair of words in order with at most skip_distance words between, and with SU each
// word but the last, which the script leaves out; returns how many in all.
double Rouge155::count_pairs(const RougeTokens& tokens, Scratch& scratch,
                             std::vector<std::int64_t>& counts) const {
  const std::size_t size = tokens.words.size();
  const bool unigrams = options_.type == "SU";
  double total = 0;
  const auto count = [&](std::uint32_t first, std::uint32_t second) {
    const std::uint32_t gram = scratch.grams.find_or_add(first, second);
    if (gram >= counts.size()) counts.resize(std::size_t{gram} + 1, 0);
    ++counts[gram];
    total += 1;
  };
  for (std::size_t i = 0; i + 1 < size; ++i) {
    if (unigrams) count(tokens.words[i], PairIds::kNone);
    const std::size_t end =
        options_.skip_distance < 0 ? size : std::min(size, i + usize(options_.skip_distance) + 2);
    for (std::size_t j = i + 1; j < end; ++j) count(tokens.words[i], tokens.words[j]);
  }
  return total;
}

Counts Rouge155::match_pairs(Scratch& scratch) const {
  const std::size_t words = scratch.hypothesis.words.size() + scratch.reference.words.size();
  const std::size_t per_word =
      options_.skip_distance < 0 ? words : std::min(words, usize(options_.skip_distance) + 1);
  // Room for all pairs, as PairIds does not grow by itself.
  constexpr std::size_t kMaxPairs = std::size_t{1} << 28;
  ELBEAM_CHECK(words * (per_word + 1) <= kMaxPairs, ErrorCode::kLimit, "ROUGE-S of texts with ",
               words, " words: more than ", kMaxPairs, " pairs; give a skip distance");
  scratch.grams.clear(words * (per_word + 1));
  scratch.left_hypothesis.clear();
  scratch.left_reference.clear();
  Counts counts;
  counts.hypothesis = count_pairs(scratch.hypothesis, scratch, scratch.left_hypothesis);
  counts.reference = count_pairs(scratch.reference, scratch, scratch.left_reference);
  const std::size_t common =
      std::min(scratch.left_hypothesis.size(), scratch.left_reference.size());
  for (std::size_t gram = 0; gram < common; ++gram) {
    counts.hits +=
        static_cast<double>(std::min(scratch.left_hypothesis[gram], scratch.left_reference[gram]));
  }
  return counts;
}

// The script's instances in its order: sorted by their names, which are numbers from 1 followed by
// a period.
std::vector<std::size_t> in_order_of_names(std::size_t count) {
  std::vector<std::string> names(count);
  for (std::size_t i = 0; i < count; ++i) names[i] = std::to_string(i + 1);
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&names](std::size_t a, std::size_t b) { return names[a] < names[b]; });
  return order;
}

// Of the means of all resamples: their mean, and the bounds of the 95 % interval.
struct Interval {
  double mean = 0;
  double low = 0;
  double high = 0;
};

Interval interval_of(std::vector<double>& means) {
  constexpr double kConfidence = 95;
  std::sort(means.begin(), means.end());
  const auto count = static_cast<double>(means.size());
  const double delta = count * ((100 - kConfidence) / 2.0) / 100.0;
  const auto upper = static_cast<std::size_t>(count - delta - 1);
  const auto lower = static_cast<std::size_t>(delta);
  const double between = count - delta - 1 - static_cast<double>(upper);
  const auto at = [&](std::size_t i) {
    return five_digits(means[i] + (means[i + 1] - means[i]) * between);
  };
  return {five_digits(std::accumulate(means.begin(), means.end(), 0.0) / count), at(lower),
          at(upper)};
}

Score Rouge155::corpus_score(std::span<const double> statistics) const {
  const std::size_t count = statistics.size() / size();
  ELBEAM_INVARIANT(count > 0 && statistics.size() % size() == 0);
  const std::vector<std::size_t> order = in_order_of_names(count);
  std::vector<double> sorted;  // [segment, 3]
  for (const std::size_t segment : order) {
    for (std::size_t k = 0; k < 3; ++k) sorted.push_back(statistics[segment * size() + k]);
  }
  std::vector<double> means[3];
  const auto segments = static_cast<double>(count);
  for (int resample = 0; resample < options_.resamples; ++resample) {
    PerlRandom random(static_cast<std::uint32_t>(resample));
    double sums[3] = {};
    for (std::size_t i = 0; i < count; ++i) {
      const double* one = &sorted[3 * static_cast<std::size_t>(random.below(segments))];
      for (std::size_t k = 0; k < 3; ++k) sums[k] += one[k];
    }
    for (std::size_t k = 0; k < 3; ++k) means[k].push_back(sums[k] / segments);
  }
  const char* names[3] = {"precision", "recall", "fmeasure"};
  double averages[3] = {};
  Score result;
  for (std::size_t k = 0; k < 3; ++k) {
    const Interval interval = interval_of(means[k]);
    averages[k] = interval.mean;
    result.further.push_back({std::string(names[k]) + "_low", interval.low});
    result.further.push_back({std::string(names[k]) + "_high", interval.high});
  }
  result.precision = averages[0];
  result.recall = averages[1];
  result.fmeasure = result.score = averages[2];
  return result;
}

}  // namespace

std::unique_ptr<const Metric> make_rouge155(const Rouge155Options& options) {
  return std::make_unique<Rouge155>(options);
}

}  // namespace elbeam::eval
