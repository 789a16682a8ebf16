// All metrics and the tests of significance on several threads: the same numbers, and nothing for
// ThreadSanitizer to find.
#include <elbeam/eval/evaluation.hpp>
#include <elbeam/eval/metrics.hpp>
#include <elbeam/eval/significance.hpp>

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace elbeam::eval {
namespace {

struct Corpus {
  struct Texts {
    std::string hypothesis;
    std::vector<std::string> references;
    std::string source;
  };

  explicit Corpus(std::size_t count) {
    std::mt19937 random(11);
    const std::vector<std::string> words{
        "The",      "running", "cats", "sat", "\xc3\x89t\xc3\xa9", "3,000.5",
        "children", "on",      "mats", ".\n", "well-known"};
    const auto text = [&] {
      std::string out;
      for (std::size_t left = random() % 30; left > 0; --left) out += words[random() % 11] + " ";
      return out;
    };
    for (std::size_t i = 0; i < count; ++i) texts.push_back({text(), {text(), text()}, text()});
    for (const Texts& one : texts) {
      views.emplace_back(one.references.begin(), one.references.end());
    }
    for (std::size_t i = 0; i < count; ++i) {
      segments.push_back({texts[i].hypothesis, views[i], texts[i].source});
    }
  }

  std::vector<Texts> texts;
  std::vector<std::vector<std::string_view>> views;
  std::vector<Segment> segments;
};

Evaluation evaluate(const Corpus& corpus, const std::vector<std::string>& names, int threads) {
  MetricOptions options;
  options.rouge.stemmer = true;
  options.rouge155.resamples = 20;
  options.bleu.tokenize = "flores200";
  options.bleu.segmentation = [](std::string_view line) { return std::string(line); };
  options.meteor.wordnet_folder = "none";
  std::vector<std::unique_ptr<const Metric>> metrics;
  for (const std::string& name : names) metrics.push_back(make_metric(name, options));
  Evaluation evaluation(std::move(metrics), {threads, true});
  evaluation.add(std::span(corpus.segments).first(corpus.segments.size() / 3));
  evaluation.add(std::span(corpus.segments).subspan(corpus.segments.size() / 3));
  return evaluation;
}

TEST(Threads, DoNotChangeAnyMetric) {
  const Corpus corpus(600);
  const std::vector<std::string> names{
      "bleu",         "chrf",       "chrf++",      "ter",         "wer",         "cer",
      "meteor",       "rouge1",     "rouge2",      "rougeL",      "rougeLsum",   "rouge155-1",
      "rouge155-L",   "rouge155-W", "rouge155-S",  "rouge155-SU", "exact-match", "token-f1",
      "length-ratio", "distinct2",  "repetition2", "novelty2",    "coverage",    "density"};
  const Evaluation one = evaluate(corpus, names, 1);
  const Evaluation four = evaluate(corpus, names, 4);
  for (std::size_t m = 0; m < names.size(); ++m) {
    const auto expected = one.statistics(m);
    const auto found = four.statistics(m);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), found.begin(), found.end()))
        << names[m];
    EXPECT_EQ(one.score(m).score, four.score(m).score) << names[m];
  }
}

TEST(Threads, DoNotChangeSignificance) {
  const Corpus corpus(200);
  const Evaluation first = evaluate(corpus, {"bleu"}, 1);
  Corpus other = corpus;
  for (std::size_t i = 0; i < other.segments.size(); i += 2) {
    other.segments[i].hypothesis = other.segments[i].references.front();
  }
  const Evaluation second = evaluate(other, {"bleu"}, 1);
  const std::vector<SystemStatistics> systems{first.statistics(0), second.statistics(0)};
  for (const auto test : {paired_bootstrap, approximate_randomization}) {
    const auto expected = test(first.metric(0), systems, {200, 5, 1});
    const auto found = test(first.metric(0), systems, {200, 5, 4});
    EXPECT_EQ(expected[1].p_value, found[1].p_value);
    EXPECT_EQ(expected[1].mean, found[1].mean);
    EXPECT_EQ(expected[1].low, found[1].low);
  }
}

}  // namespace
}  // namespace elbeam::eval
