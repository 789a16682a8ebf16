// Early stopping, patience and the coverage penalty against the full search.
#include "search/early_stop.hpp"

#include "random_instances.hpp"
#include "search/finished.hpp"

#include <cmath>
#include <numeric>

namespace elbeam::search {
namespace {

std::vector<FinishedHypothesis> first(std::vector<FinishedHypothesis> hypotheses,
                                      std::int64_t nbest) {
  hypotheses.resize(std::min(hypotheses.size(), usize(nbest)));
  return hypotheses;
}

TEST(EarlyStop, ExactNeverChangesTheNBest) {
  constexpr int kInstances = 12'000;
  Random random(31);
  std::int64_t full_steps = 0;
  std::int64_t steps = 0;
  int compared = 0;
  for (int i = 0; i < kInstances; ++i) {
    SCOPED_TRACE(i);
    SmallSearch small = small_search(random, static_cast<std::uint64_t>(i));
    use_random_strategy(random, small.request.options);
    small.request.options.patience = random.pick({1.0, 1.0, 2.0});
    small.request.options.coverage_penalty = random.pick({0.0, 0.0, 0.4});
    small.request.batch = &small.batch;
    test::ScriptedModel model = small.model();
    const auto full = try_decode(model, small.request);
    if (!full) continue;
    small.request.options.early_stopping = true;
    const DecodeResult early = decode(model, small.request);
    const std::int64_t nbest = small.request.options.nbest;
    for (std::size_t s = 0; s < full->sentences.size(); ++s) {
      ASSERT_TRUE(
          same_hypotheses(first(early.sentences[s], nbest), first(full->sentences[s], nbest)))
          << "sentence " << s;
    }
    ++compared;
    full_steps += full->counters.rows;
    steps += early.counters.rows;
  }
  EXPECT_GT(compared, 10'000);
  EXPECT_LT(steps * 20, full_steps * 19);  // it is worth something
}

TEST(EarlyStop, GrowingScoresNeverStopEarly) {
  SearchOptions options;
  options.early_stopping = true;
  EXPECT_TRUE(EarlyStop(options).active());
  options.unk_penalty = -1;
  EXPECT_FALSE(EarlyStop(options).active());
  options.unk_penalty = 0;
  options.strategy = Strategy::kDiverseSiblings;
  options.diversity_rate = -0.5;
  EXPECT_FALSE(EarlyStop(options).active());
  options.diversity_rate = 0.5;
  EXPECT_TRUE(EarlyStop(options).active());
}

// The bound itself: for lenpen 1, max_len 9 and a live score of -4, no hypothesis can end above
// -4 / 10; for lenpen -1 none above -4 * 3.
TEST(EarlyStop, Bound) {
  SearchOptions options;
  options.early_stopping = true;
  options.nbest = 1;
  const auto decided = [&](float finished) {
    std::vector<FinishedHypothesis> hypotheses(1);
    hypotheses[0].score = finished;
    return EarlyStop(options).decided(hypotheses, -4.0F, {2, 10});
  };
  EXPECT_TRUE(decided(-0.399F));
  EXPECT_FALSE(decided(-0.401F));
  options.lenpen = -1;
  EXPECT_TRUE(decided(-11.9F));
  EXPECT_FALSE(decided(-12.1F));
  options.normalize_scores = false;
  EXPECT_TRUE(decided(-3.99F));
  EXPECT_FALSE(decided(-4.01F));
  EXPECT_FALSE(decided(std::nanf("")));
}

TEST(EarlyStop, HeuristicStopsNoLaterAndMayMissBetterOnes) {
  Random random(32);
  std::int64_t full_rows = 0;
  std::int64_t rows = 0;
  int worse = 0;
  for (int i = 0; i < 2'000; ++i) {
    SCOPED_TRACE(i);
    SmallSearch small = small_search(random, static_cast<std::uint64_t>(i));
    small.request.batch = &small.batch;
    test::ScriptedModel model = small.model();
    const auto full = try_decode(model, small.request);
    if (!full) continue;
    small.request.options.heuristic_stopping = true;
    const DecodeResult early = decode(model, small.request);
    ASSERT_LE(early.counters.rows, full->counters.rows);
    full_rows += full->counters.rows;
    rows += early.counters.rows;
    for (std::size_t s = 0; s < full->sentences.size(); ++s) {
      ASSERT_LE(early.sentences[s].front().score, full->sentences[s].front().score);
      worse += early.sentences[s].front().score < full->sentences[s].front().score;
    }
  }
  EXPECT_LT(rows * 10, full_rows * 9);
  EXPECT_GT(worse, 0);
}

TEST(Patience, CollectsThatManyHypotheses) {
  Random random(33);
  int more = 0;
  for (int i = 0; i < 1'000; ++i) {
    SCOPED_TRACE(i);
    SmallSearch small = small_search(random, static_cast<std::uint64_t>(i));
    use_random_strategy(random, small.request.options);
    small.request.batch = &small.batch;
    test::ScriptedModel model = small.model();
    const auto plain = try_decode(model, small.request);
    if (!plain) continue;
    const std::int64_t beam = small.request.options.beam;
    for (const double patience : {0.3, 1.7, 4.0}) {
      small.request.options.patience = patience;
      const DecodeResult result = decode(model, small.request);
      const auto most = static_cast<std::int64_t>(std::ceil(patience * static_cast<double>(beam)));
      for (std::size_t s = 0; s < plain->sentences.size(); ++s) {
        const auto& hypotheses = result.sentences[s];
        ASSERT_LE(ssize(hypotheses.size()), most);
        if (patience < 1) continue;
        // Whatever finished first is still among them.
        ASSERT_GE(hypotheses.size(), plain->sentences[s].size());
        ASSERT_GE(hypotheses.front().score, plain->sentences[s].front().score);
        more += hypotheses.size() > plain->sentences[s].size();
      }
    }
  }
  EXPECT_GT(more, 100);
}

TEST(Coverage, LogCoverage) {
  // Columns are target tokens. Source tokens got 0.5, 1.5 (counted as 1) and 0.25.
  const std::vector<std::vector<float>> columns = {{0.25F, 0.75F, 0.0F}, {0.25F, 0.75F, 0.25F}};
  EXPECT_NEAR(log_coverage(columns), std::log(0.5) + std::log(0.25), 1e-12);
  EXPECT_EQ(log_coverage({{0.5F, 0.0F}}), -std::numeric_limits<double>::infinity());
}

TEST(Coverage, IsAddedToTheScore) {
  Random random(34);
  int changed = 0;
  for (int i = 0; i < 500; ++i) {
    SCOPED_TRACE(i);
    SmallSearch small = small_search(random, static_cast<std::uint64_t>(i));
    small.request.batch = &small.batch;
    small.request.attention = true;
    test::ScriptedModel model = small.model();
    const auto plain = try_decode(model, small.request);
    if (!plain) continue;
    small.request.options.coverage_penalty = 0.7;
    const DecodeResult covered = decode(model, small.request);
    for (std::size_t s = 0; s < plain->sentences.size(); ++s) {
      std::vector<FinishedHypothesis> expected = plain->sentences[s];
      for (FinishedHypothesis& hypothesis : expected) {
        ASSERT_EQ(hypothesis.attention.size(), hypothesis.tokens.size());
        hypothesis.score += static_cast<float>(0.7 * log_coverage(hypothesis.attention));
      }
      changed += !same_hypotheses(covered.sentences[s], plain->sentences[s]);
      // Equal scores may stand in another order.
      ASSERT_EQ(covered.sentences[s].size(), expected.size());
      std::stable_sort(expected.begin(), expected.end(),
                       [](const auto& x, const auto& y) { return x.score > y.score; });
      for (std::size_t h = 0; h < expected.size(); ++h) {
        ASSERT_TRUE(same_bits(covered.sentences[s][h].score, expected[h].score));
      }
    }
  }
  EXPECT_GT(changed, 100);
}

}  // namespace
}  // namespace elbeam::search
