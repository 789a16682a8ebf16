// Rules that depend on a hypothesis's own tokens: alone, and what the search makes of them.
#include "search/history_rules.hpp"

#include "random_instances.hpp"

#include <limits>
#include <set>

namespace elbeam::search {
namespace {

using Ids = std::vector<std::int64_t>;

constexpr float kInf = std::numeric_limits<float>::infinity();

// The tokens that are impossible after the rules.
Ids blocked(const SearchOptions& options, const Ids& history, bool only_eos = false) {
  std::vector<float> log_probs(12, -1.0F);
  std::vector<float> bounds(1, -1.0F);
  HistoryRules(options).apply(history, only_eos, {log_probs, bounds});
  Ids tokens;
  for (std::size_t token = 0; token < log_probs.size(); ++token) {
    if (log_probs[token] == -kInf) tokens.push_back(ssize(token));
  }
  return tokens;
}

TEST(HistoryRules, RepeatedNgrams) {
  SearchOptions options;
  EXPECT_FALSE(HistoryRules(options).active());
  options.no_repeat_ngram_size = 2;
  EXPECT_TRUE(HistoryRules(options).active());
  EXPECT_EQ(blocked(options, {2}), Ids{});
  EXPECT_EQ(blocked(options, {2, 5}), Ids{});
  EXPECT_EQ(blocked(options, {2, 5, 5}), Ids{5});
  EXPECT_EQ(blocked(options, {2, 5, 6, 5, 7, 5}), (Ids{6, 7}));
  options.no_repeat_ngram_size = 3;
  EXPECT_EQ(blocked(options, {2, 5, 5}), Ids{});
  EXPECT_EQ(blocked(options, {2, 5, 5, 5}), Ids{5});
  EXPECT_EQ(blocked(options, {2, 5, 6, 7, 5, 6}), Ids{7});
  // The token that a hypothesis starts from is part of an n-gram.
  EXPECT_EQ(blocked(options, {8, 5, 6, 8, 5}), Ids{6});
  options.no_repeat_ngram_size = 1;
  EXPECT_EQ(blocked(options, {2}), Ids{});
  EXPECT_EQ(blocked(options, {2, 5, 6, 5}), (Ids{5, 6}));
  options.no_repeat_ngram_size = 1'000'000;
  EXPECT_EQ(blocked(options, {2, 5, 5, 5}), Ids{});
}

TEST(HistoryRules, SuppressedSequences) {
  SearchOptions options;
  options.suppressed_sequences = {{7}, {5, 6}, {6, 5, 2}};
  EXPECT_EQ(blocked(options, {2}), Ids{7});
  EXPECT_EQ(blocked(options, {2, 5}), (Ids{6, 7}));
  EXPECT_EQ(blocked(options, {5}), Ids{7});  // the start token is no part of them
  EXPECT_EQ(blocked(options, {2, 6, 5}), (Ids{2, 6, 7}));
  EXPECT_EQ(blocked(options, {2, 6, 5}, /*only_eos=*/true), Ids{});
}

TEST(HistoryRules, RepetitionPenaltyCountsATokenOnce) {
  SearchOptions options;
  options.repetition_penalty = 1.5;
  std::vector<float> log_probs = {-1, -2, -3, -kInf, -4, -5};
  std::vector<float> bounds = {-1};
  HistoryRules(options).apply(Ids{2, 5, 4, 5, 3}, false, {log_probs, bounds});
  EXPECT_EQ(log_probs, (std::vector<float>{-1, -2, -3, -kInf, -6, -7.5}));
  EXPECT_EQ(bounds, std::vector<float>{-1});
  options.repetition_penalty = 0.125;  // a reward
  HistoryRules(options).apply(Ids{2, 4}, false, {log_probs, bounds});
  EXPECT_EQ(log_probs[4], -0.75F);
  EXPECT_EQ(bounds, std::vector<float>{-0.75F});
}

bool has_repeated_ngram(const Ids& tokens, std::int64_t n) {
  std::set<Ids> seen;
  for (std::int64_t i = 0; i + n <= ssize(tokens.size()); ++i) {
    if (!seen.insert(Ids(tokens.begin() + i, tokens.begin() + i + n)).second) return true;
  }
  return false;
}

TEST(HistoryRules, NoOutputRepeatsAnNgram) {
  Random random(41);
  int changed = 0;
  for (int i = 0; i < 1'500; ++i) {
    SCOPED_TRACE(i);
    SmallSearch small = small_search(random, static_cast<std::uint64_t>(i));
    small.request.batch = &small.batch;
    small.request.options.max_len_b = 9;
    test::ScriptedModel model = small.model();
    const auto plain = try_decode(model, small.request);
    const std::int64_t n = random.between(1, 3);
    small.request.options.no_repeat_ngram_size = n;
    const auto result = try_decode(model, small.request);
    if (!plain || !result) continue;
    for (std::size_t s = 0; s < result->sentences.size(); ++s) {
      changed += !same_hypotheses(result->sentences[s], plain->sentences[s]);
      for (const FinishedHypothesis& hypothesis : result->sentences[s]) {
        ASSERT_FALSE(has_repeated_ngram(hypothesis.tokens, n));
      }
    }
  }
  EXPECT_GT(changed, 100);
}

TEST(HistoryRules, SuppressedSequencesDoNotOccur) {
  Random random(42);
  int changed = 0;
  for (int i = 0; i < 1'000; ++i) {
    SCOPED_TRACE(i);
    SmallSearch small = small_search(random, static_cast<std::uint64_t>(i));
    small.request.batch = &small.batch;
    test::ScriptedModel model = small.model();
    const auto plain = try_decode(model, small.request);
    if (!plain) continue;
    // Something that the plain search says.
    const Ids& said = plain->sentences[0].front().tokens;
    if (said.size() < 3) continue;
    const Ids sequence(said.begin(), said.begin() + 2);
    small.request.options.suppressed_sequences = {sequence};
    const auto result = try_decode(model, small.request);
    if (!result) continue;
    ++changed;
    for (const auto& hypotheses : result->sentences) {
      for (const FinishedHypothesis& hypothesis : hypotheses) {
        const Ids& tokens = hypothesis.tokens;
        ASSERT_EQ(std::search(tokens.begin(), tokens.end(), sequence.begin(), sequence.end()),
                  tokens.end());
      }
    }
  }
  EXPECT_GT(changed, 100);
}

TEST(HistoryRules, ForcedTokensAreLeftAlone) {
  test::ScriptedModel model(9, 1024, test::HashScript{3});
  const SourceBatch batch = make_batch({{5, 2}});
  DecodeRequest request;
  request.batch = &batch;
  request.options.max_len_b = 8;
  request.prefix_tokens = {{4, 4, 4, 4}};
  const DecodeResult plain = decode(model, request);
  request.options.no_repeat_ngram_size = 2;
  request.options.repetition_penalty = 2;
  request.options.suppressed_sequences = {{4}};
  const DecodeResult result = decode(model, request);
  const FinishedHypothesis& best = result.sentences[0].front();
  EXPECT_EQ(Ids(best.tokens.begin(), best.tokens.begin() + 4), Ids(4, 4));
  EXPECT_EQ(best.positional_scores[3], plain.sentences[0].front().positional_scores[3]);
  EXPECT_EQ(std::find(best.tokens.begin() + 4, best.tokens.end(), 4), best.tokens.end());
}

}  // namespace
}  // namespace elbeam::search
