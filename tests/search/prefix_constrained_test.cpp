// Sets of allowed outputs: the trie, and searches of stock fairseq with such sets
// (tests/data/search/make_constraints_golden.py).
#include <elbeam/prefix_trie.hpp>

#include "strategy_golden.hpp"

#include <random>
#include <set>

namespace elbeam::search {
namespace {

using Ids = std::vector<std::int64_t>;

Ids following(const PrefixTrie& trie, const Ids& prefix) {
  Ids tokens;
  trie.append_following(prefix, tokens);
  return tokens;
}

TEST(PrefixTrie, AnswersWhatFollows) {
  const PrefixTrie trie({{5, 6, 2}, {5, 2}, {7, 2}, {5, 6, 2}, {5, 6, 9, 2}});
  EXPECT_EQ(trie.size(), 4);
  EXPECT_EQ(following(trie, {}), (Ids{5, 7}));
  EXPECT_EQ(following(trie, {5}), (Ids{2, 6}));
  EXPECT_EQ(following(trie, {5, 6}), (Ids{2, 9}));
  EXPECT_EQ(following(trie, {5, 6, 9}), Ids{2});
  EXPECT_EQ(following(trie, {5, 2}), Ids{});
  EXPECT_EQ(following(trie, {5, 2, 2}), Ids{});
  EXPECT_EQ(following(trie, {6}), Ids{});
  EXPECT_EQ(following(PrefixTrie({}), {}), Ids{});
  EXPECT_EQ(following(PrefixTrie(std::vector<Ids>{{}}), {}), Ids{});
}

TEST(PrefixTrie, AgreesWithLookingThroughTheList) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<Ids> sequences(random() % 60);
    for (Ids& sequence : sequences) {
      sequence.resize(random() % 6);
      for (std::int64_t& token : sequence) token = static_cast<std::int64_t>(random() % 4);
    }
    const PrefixTrie trie(sequences);
    for (int question = 0; question < 20; ++question) {
      Ids prefix(random() % 5);
      for (std::int64_t& token : prefix) token = static_cast<std::int64_t>(random() % 4);
      std::set<std::int64_t> expected;
      for (const Ids& sequence : sequences) {
        if (sequence.size() > prefix.size() &&
            std::equal(prefix.begin(), prefix.end(), sequence.begin())) {
          expected.insert(sequence[prefix.size()]);
        }
      }
      EXPECT_EQ(following(trie, prefix), Ids(expected.begin(), expected.end()));
    }
  }
}

struct PrefixCase : StrategyCase {
  std::vector<Ids> allowed;
};

TEST(PrefixConstrained, GoldenOfStockFairseq) {
  auto cases = read_strategy_golden<PrefixCase>(
      "prefix_constrained.golden",
      [](const std::string& kind, std::istream& fields, PrefixCase& golden) {
        ASSERT_EQ(kind, "allowed");
        golden.allowed.push_back(read_ids(fields));
      });
  int compared = 0;
  int empty = 0;
  for (PrefixCase& golden : cases) {
    SCOPED_TRACE(golden.script.seed);
    ASSERT_FALSE(golden.failure);
    const SourceBatch batch = make_batch(golden.sources);
    golden.request.batch = &batch;
    golden.request.options.strategy = Strategy::kPrefixConstrained;
    golden.request.allowed_tokens = allowed_by(std::make_shared<PrefixTrie>(golden.allowed));
    test::ScriptedModel model(golden.vocab, golden.max_positions, golden.script);
    const DecodeResult result = decode(model, golden.request);
    expect_golden(result, golden);
    for (const auto& hypotheses : result.sentences) empty += static_cast<int>(hypotheses.empty());
    if (testing::Test::HasFailure()) return;
    ++compared;
  }
  EXPECT_EQ(compared, 250);
  EXPECT_GT(empty, 0);  // sentences without any result, as in fairseq
}

TEST(PrefixConstrained, CallbackSeesSentenceAndHistory) {
  test::ScriptedModel model(9, 1024, test::HashScript{1});
  const SourceBatch batch = make_batch({{5, 2}, {6, 2}});
  DecodeRequest request;
  request.batch = &batch;
  request.options.beam = 1;
  request.options.strategy = Strategy::kPrefixConstrained;
  request.start_token = 8;
  request.allowed_tokens = [](std::int64_t sentence, std::span<const std::int64_t> tokens,
                              Ids& allowed) {
    EXPECT_EQ(tokens.front(), 8);
    allowed.push_back(tokens.size() == 3 ? 2 : 4 + sentence);
  };
  const DecodeResult result = decode(model, request);
  EXPECT_EQ(result.sentences.at(0).at(0).tokens, (Ids{4, 4, 2}));
  EXPECT_EQ(result.sentences.at(1).at(0).tokens, (Ids{5, 5, 2}));
}

TEST(PrefixConstrained, BadInput) {
  test::ScriptedModel model(9, 1024, test::HashScript{1});
  const SourceBatch batch = make_batch({{5, 2}});
  DecodeRequest request;
  request.batch = &batch;
  request.options.strategy = Strategy::kPrefixConstrained;
  EXPECT_EQ(code_of([&] { decode(model, request); }), ErrorCode::kUsage);
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{9}}) {
    request.allowed_tokens = [bad](std::int64_t, std::span<const std::int64_t>, Ids& allowed) {
      allowed.push_back(bad);
    };
    EXPECT_EQ(code_of([&] { decode(model, request); }), ErrorCode::kUsage);
  }
}

}  // namespace
}  // namespace elbeam::search
