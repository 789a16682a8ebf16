// Scores of given targets, against stock's SequenceScorer (tests/data/search/
// make_strategy_golden.py) and against the search; alternatives behind a prefix.
#include "random_instances.hpp"
#include "search/alternatives.hpp"
#include "search/sequence_scorer.hpp"

#include <fstream>
#include <sstream>

namespace elbeam::search {
namespace {

using Ids = std::vector<std::int64_t>;

struct ScorerCase {
  std::int64_t vocab = 0;
  std::vector<std::uint64_t> seeds;
  std::vector<Ids> sources;
  std::vector<Ids> targets;
  std::vector<std::vector<float>> scores;  // the mean, then one per token
  std::vector<std::uint64_t> attention;
};

std::vector<ScorerCase> read_cases() {
  std::ifstream file(std::string(ELBEAM_TEST_DATA) + "/search/scorer.golden");
  std::vector<ScorerCase> cases;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string kind;
    fields >> kind;
    if (kind == "#") continue;
    if (kind == "case") {
      fields >> cases.emplace_back().vocab;
      for (std::uint64_t seed = 0; fields >> seed;) cases.back().seeds.push_back(seed);
      continue;
    }
    if (kind == "score") {
      auto& scores = cases.back().scores.emplace_back();
      for (float score = 0; fields >> score;) scores.push_back(score);
    } else if (kind == "attention") {
      fields >> std::hex >> cases.back().attention.emplace_back();
    } else {
      auto& ids = (kind == "source" ? cases.back().sources : cases.back().targets).emplace_back();
      for (std::int64_t id = 0; fields >> id;) ids.push_back(id);
    }
  }
  return cases;
}

TEST(SequenceScorer, StockFairseq) {
  const std::vector<ScorerCase> cases = read_cases();
  ASSERT_EQ(cases.size(), 60U);
  for (const ScorerCase& golden : cases) {
    SCOPED_TRACE(golden.seeds[0]);
    std::vector<test::ScriptedModel> models;
    for (const std::uint64_t seed : golden.seeds) {
      models.emplace_back(golden.vocab, 1024, test::HashScript{seed});
    }
    std::vector<StepModel*> pointers;
    for (test::ScriptedModel& model : models) pointers.push_back(&model);
    const SourceBatch batch = make_batch(golden.sources);
    ScoreTargets request;
    request.batch = &batch;
    request.targets = golden.targets;
    request.attention = true;
    const DecodeResult result = score_targets(pointers, request);
    for (std::size_t s = 0; s < golden.targets.size(); ++s) {
      const FinishedHypothesis& actual = result.sentences[s].front();
      const std::vector<float>& scores = golden.scores[s];
      EXPECT_EQ(actual.tokens, golden.targets[s]);
      EXPECT_NEAR(actual.score, scores[0], 1e-6F * std::max(1.0F, -scores[0]));
      ASSERT_EQ(actual.positional_scores.size() + 1, scores.size());
      for (std::size_t i = 1; i < scores.size(); ++i) {
        if (models.size() == 1) {
          EXPECT_EQ(actual.positional_scores[i - 1], scores[i]);
        }
        EXPECT_NEAR(actual.positional_scores[i - 1], scores[i], 1e-6F * std::max(1.0F, -scores[i]));
      }
      std::vector<float> attention;
      for (const auto& column : actual.attention) {
        attention.insert(attention.end(), column.begin(), column.end());
      }
      EXPECT_EQ(digest(attention), golden.attention[s]);
    }
  }
}

TEST(SequenceScorer, RowsAreDroppedAsTheyEnd) {
  test::ScriptedModel model(9, 1024, test::HashScript{1});
  StepModel* const models[] = {&model};
  const SourceBatch batch = make_batch({{5, 2}, {6, 2}, {7, 2}});
  ScoreTargets request;
  request.batch = &batch;
  request.targets = {{4, 2}, {4, 5, 6, 7, 2}, {2}};
  const DecodeResult result = score_targets(models, request);
  EXPECT_EQ(result.counters.steps, 5);
  EXPECT_EQ(result.counters.rows, 2 + 5 + 1);
  EXPECT_TRUE(result.sentences[0].front().attention.empty());
}

TEST(SequenceScorer, AgreesWithTheSearch) {
  Random random(51);
  for (int i = 0; i < 300; ++i) {
    SCOPED_TRACE(i);
    SmallSearch small = small_search(random, static_cast<std::uint64_t>(i));
    small.request.options.unk_penalty = 0;
    small.request.options.temperature = 1;
    small.request.batch = &small.batch;
    small.request.start_token = 4;
    test::ScriptedModel model = small.model();
    const auto decoded = try_decode(model, small.request);
    if (!decoded) continue;
    ScoreTargets request;
    request.batch = &small.batch;
    request.start_token = 4;
    for (const auto& hypotheses : decoded->sentences) {
      request.targets.push_back(hypotheses.front().tokens);
    }
    StepModel* const models[] = {&model};
    const DecodeResult scored = score_targets(models, request);
    for (std::size_t s = 0; s < request.targets.size(); ++s) {
      const auto& expected = decoded->sentences[s].front().positional_scores;
      for (std::size_t t = 0; t < expected.size(); ++t) {
        ASSERT_NEAR(scored.sentences[s].front().positional_scores[t], expected[t], 1e-4);
      }
    }
  }
}

TEST(SequenceScorer, BadInput) {
  test::ScriptedModel model(9, 4, test::HashScript{1});
  StepModel* const models[] = {&model};
  const SourceBatch batch = make_batch({{5, 2}});
  ScoreTargets request;
  const auto code = [&] { return code_of([&] { score_targets(models, request); }); };
  EXPECT_EQ(code(), ErrorCode::kUsage);  // no batch
  request.batch = &batch;
  EXPECT_EQ(code(), ErrorCode::kUsage);  // no target
  for (const Ids& target : {Ids{}, Ids{9, 2}, Ids{-1, 2}, Ids{4, 9}, Ids{4, 4, 4, 4, 2}}) {
    request.targets = {target};
    EXPECT_EQ(code(), ErrorCode::kUsage);
  }
  EXPECT_EQ(code_of([&] { score_targets({}, request); }), ErrorCode::kUsage);
  request.targets = {{4, 2}};
  request.cancelled = [] { return true; };
  EXPECT_EQ(code(), ErrorCode::kInterrupted);
}

TEST(Alternatives, AreTheBestNextTokensEachSearched) {
  Random random(61);
  for (int i = 0; i < 400; ++i) {
    SCOPED_TRACE(i);
    SmallSearch small = small_search(random, static_cast<std::uint64_t>(i));
    small.request.batch = &small.batch;
    small.request.options.min_len = 1;
    small.request.options.max_len_b = 6;
    small.script.coarse = false;
    small.script.holes = false;
    small.script.nans = false;
    test::ScriptedModel model = small.model();
    const Ids prefix(usize(random.between(0, 2)), 5);
    small.request.prefix_tokens.assign(small.batch.sentences.size(), prefix);
    const DecodeResult result = decode_alternatives(model, small.request, 3);
    for (std::size_t s = 0; s < small.batch.sentences.size(); ++s) {
      std::vector<float> next(usize(small.vocab));
      small.script({small.batch.sentences[s], prefix}, next);
      for (float& value : next) value /= static_cast<float>(small.request.options.temperature);
      next[1] = -1e9F;
      next[3] -= static_cast<float>(small.request.options.unk_penalty);
      if (prefix.empty()) next[2] = -1e9F;
      ASSERT_EQ(result.sentences[s].size(), 3U);
      for (const FinishedHypothesis& hypothesis : result.sentences[s]) {
        const auto best = std::max_element(next.begin(), next.end()) - next.begin();
        *std::next(next.begin(), best) = -1e9F;
        Ids forced = prefix;
        forced.push_back(best);
        const SourceBatch one = make_batch({small.batch.sentences[s]});
        DecodeRequest request = small.request;
        request.batch = &one;
        request.prefix_tokens = {forced};
        ASSERT_TRUE(same_hypotheses({hypothesis}, {decode(model, request).sentences[0].front()}));
      }
    }
  }
}

TEST(Alternatives, BadInput) {
  test::ScriptedModel model(9, 1024, test::HashScript{1});
  const SourceBatch batch = make_batch({{5, 2}});
  DecodeRequest request;
  request.batch = &batch;
  request.options.max_len_b = 3;
  const auto code = [&](std::int64_t count) {
    return code_of([&] { decode_alternatives(model, request, count); });
  };
  EXPECT_EQ(code(0), ErrorCode::kUsage);
  EXPECT_EQ(code(9), ErrorCode::kUsage);
  for (const Ids& prefix : {Ids{2}, Ids{1}, Ids{9}, Ids{4, 4, 4, 4}}) {
    request.prefix_tokens = {prefix};
    EXPECT_EQ(code(2), ErrorCode::kUsage);
  }
  request.prefix_tokens = {{4}, {4}};
  EXPECT_EQ(code(2), ErrorCode::kUsage);
  request.prefix_tokens = {{4, 4, 4}};  // at the last step only the end is left
  const DecodeResult last = decode_alternatives(model, request, 2);
  ASSERT_EQ(last.sentences[0].size(), 1U);
  EXPECT_EQ(last.sentences[0].front().tokens, (Ids{4, 4, 4, 2}));
  request.constraints = {{{4}}};
  EXPECT_EQ(code(2), ErrorCode::kUsage);
}

}  // namespace
}  // namespace elbeam::search
