// Lexical constraints against stock fairseq (tests/data/search/make_constraints_golden.py) and
// against the expectations of fairseq's own tests (tests/test_constraints.py).
#include "search/constraint_state.hpp"
#include "strategy_golden.hpp"

#include <set>

namespace elbeam::search {
namespace {

using Ids = std::vector<std::int64_t>;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

Ids ids_of(const std::string& text) {
  std::istringstream stream(text);
  return read_ids(stream);
}

Constraints constraints_of(const std::string& text) {
  Constraints constraints;
  for (const std::string& part : split(text, '/')) constraints.push_back(ids_of(part));
  return constraints;
}

ConstraintStatePtr state_of(const std::string& kind, const Constraints& constraints) {
  return kind == "ordered" ? ordered_constraints(constraints) : unordered_constraints(constraints);
}

std::set<std::int64_t> next_tokens(const ConstraintState& state) {
  Ids tokens;
  state.append_next_tokens(tokens);
  return {tokens.begin(), tokens.end()};
}

TEST(ConstraintState, GoldenOfStockFairseq) {
  std::ifstream file(std::string(ELBEAM_TEST_DATA) + "/search/constraint_states.golden");
  int streams = 0;
  int finished = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    const std::vector<std::string> fields = split(line, '|');
    ASSERT_EQ(fields.size(), 4U) << line;
    ConstraintStatePtr state = state_of(fields[0], constraints_of(fields[1]));
    EXPECT_EQ(state->counted_tokens(), std::stoll(fields[2])) << line;
    for (const std::string& step : split(fields[3], ';')) {
      std::vector<std::string> expected = split(step, ',');
      expected.resize(6);  // the last is empty where no token follows
      state = state->advance(std::stoll(expected[0]));
      EXPECT_EQ(state->bank(), std::stoll(expected[1])) << line;
      EXPECT_EQ(state->completed(), std::stoll(expected[2])) << line;
      EXPECT_EQ(state->finished(), expected[3] == "1") << line;
      EXPECT_EQ(state->at_root(), expected[4] == "1") << line;
      const Ids following = ids_of(expected[5]);
      EXPECT_EQ(next_tokens(*state), std::set<std::int64_t>(following.begin(), following.end()))
          << line;
    }
    finished += static_cast<int>(state->finished());
    ++streams;
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_EQ(streams, 1500);
  EXPECT_GT(finished, 300);
}

struct Published {
  Constraints constraints;
  Ids tokens;
  std::int64_t bank, completed;
  bool finished, at_root;
};

void expect_published(const std::string& kind, const std::vector<Published>& cases) {
  for (const Published& expected : cases) {
    SCOPED_TRACE(testing::PrintToString(expected.tokens));
    ConstraintStatePtr state = state_of(kind, expected.constraints);
    for (const std::int64_t token : expected.tokens) state = state->advance(token);
    EXPECT_EQ(state->bank(), expected.bank);
    EXPECT_EQ(state->completed(), expected.completed);
    EXPECT_EQ(state->finished(), expected.finished);
    EXPECT_EQ(state->at_root(), expected.at_root);
  }
}

const Constraints kMany = {{1, 2, 3}, {1, 3}, {1, 4}, {4, 5, 6, 7}, {1}, {4, 5}};
const Constraints kTwice = {{1, 2}, {1, 2}};
const Constraints kTwo = {{1, 2}, {3, 4}};

TEST(ConstraintState, FairseqsUnorderedCases) {
  expect_published(
      "unordered",
      {{kMany, {}, 0, 0, false, true},
       {kMany, {1, 2}, 2, 0, false, false},
       {kMany, {1, 2, 94}, 1, 1, false, true},
       {kMany, {1, 3, 999, 1, 4}, 4, 2, false, false},
       {kMany, {1, 3, 999, 1, 4, 999}, 4, 2, false, true},
       {kMany, {4, 5, 6, 8}, 2, 1, false, true},
       {kMany, {1, 2, 3, 1, 3, 1, 4, 4, 5, 6, 7, 1, 4, 5}, 14, 6, true, false},
       {kMany, {1, 2, 3, 999, 1, 3, 1, 4, 4, 5, 6, 7, 1, 4, 5, 117}, 14, 6, true, true},
       {{{1}, {2, 3}}, {1, 1}, 1, 1, false, true},
       {kTwice, {1, 2, 1, 2}, 4, 2, true, false},
       {kTwice, {1, 2, 1, 2, 1}, 4, 2, true, true},
       {kTwo, {1, 2, 3, 4, 5}, 4, 2, true, true}});
}

TEST(ConstraintState, FairseqsOrderedCases) {
  expect_published(
      "ordered",
      {{kMany, {}, 0, 0, false, true},
       {kMany, {1, 2}, 2, 0, false, false},
       {kMany, {1, 2, 94}, 0, 0, false, true},
       {kMany, {1, 3, 999, 1, 4}, 0, 0, false, true},
       {kMany, {1, 2, 3, 999, 999}, 3, 1, false, false},
       {kMany, {1, 2, 3, 77, 1, 3, 1}, 6, 2, false, false},
       {kMany, {1, 2, 3, 1, 3, 1, 4, 4, 5, 6, 7, 1, 4, 5}, 14, 6, true, false},
       {kMany, {1, 2, 999, 1, 2, 3, 999, 1, 3, 1, 4, 4, 5, 6, 7, 1, 4, 5, 117}, 14, 6, true, false},
       {{{1}, {2, 3}}, {1, 1}, 1, 1, false, false},
       {kTwice, {1, 2, 1, 2}, 4, 2, true, false},
       {kTwice, {1, 2, 1, 2, 1}, 4, 2, true, false},
       {kTwo, {1, 2, 3, 4, 5}, 4, 2, true, false}});
}

TEST(ConstraintState, FairseqsCasesOfNextTokens) {
  const Constraints long_one = {{100000, 1, 2, 3, 4, 5}};
  for (const Constraints& constraints : {kMany, Constraints{}, long_one, kTwice, kTwo}) {
    const auto at_start = next_tokens(*unordered_constraints(constraints));
    for (const Ids& sequence : constraints) {
      ConstraintStatePtr state = unordered_constraints(constraints);
      Ids prefix;
      for (const std::int64_t token : sequence) {
        std::set<std::int64_t> expected = at_start;
        for (const Ids& other : constraints) {
          if (other.size() > prefix.size() &&
              std::equal(prefix.begin(), prefix.end(), other.begin())) {
            expected.insert(other[prefix.size()]);
          }
        }
        EXPECT_EQ(next_tokens(*state), expected);
        state = state->advance(token);
        prefix.push_back(token);
      }
    }
  }
}

bool contains(const Ids& tokens, const Ids& part) {
  return std::search(tokens.begin(), tokens.end(), part.begin(), part.end()) != tokens.end();
}

TEST(ConstrainedSearch, GoldenOfStockFairseq) {
  auto cases = read_strategy_golden<StrategyCase>(
      "constrained.golden",
      [](const std::string& kind, std::istream& fields, StrategyCase& golden) {
        std::string text;
        std::getline(fields >> std::ws, text);
        if (kind == "constrained") {
          golden.request.options.strategy =
              text == "ordered" ? Strategy::kConstrainedOrdered : Strategy::kConstrainedUnordered;
        } else {
          ASSERT_EQ(kind, "constraints");
          golden.request.constraints.push_back(constraints_of(text));
        }
      });
  int compared = 0;
  int failures = 0;
  for (StrategyCase& golden : cases) {
    SCOPED_TRACE(golden.script.seed);
    const SourceBatch batch = make_batch(golden.sources);
    golden.request.batch = &batch;
    test::ScriptedModel model(golden.vocab, golden.max_positions, golden.script);
    if (!golden.failure) {
      ++compared;
      expect_golden(decode(model, golden.request), golden);
      continue;
    }
    // fairseq fails where the last step lets nothing end, and where the vocabulary is below twice
    // the beam. Either we say so, or we have hypotheses with the constraints in them.
    ++failures;
    try {
      const DecodeResult result = decode(model, golden.request);
      for (std::size_t i = 0; i < result.sentences.size(); ++i) {
        EXPECT_FALSE(result.sentences[i].empty());
        for (const FinishedHypothesis& hypothesis : result.sentences[i]) {
          if (hypothesis.tokens.size() == 1) continue;
          for (const Ids& part : golden.request.constraints[i]) {
            EXPECT_TRUE(contains(hypothesis.tokens, part));
          }
        }
      }
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::kModel || error.code() == ErrorCode::kUsage)
          << error.what();
    }
  }
  EXPECT_GE(compared, 350);
  EXPECT_GT(failures, 0);
}

TEST(ConstrainedSearch, BadInput) {
  test::ScriptedModel model(9, 1024, test::HashScript{1});
  const SourceBatch batch = make_batch({{5, 2}});
  DecodeRequest request;
  request.batch = &batch;
  request.options.max_len_b = 3;
  request.options.beam = 2;
  for (const Strategy strategy : {Strategy::kConstrainedOrdered, Strategy::kConstrainedUnordered}) {
    request.options.strategy = strategy;
    for (const std::vector<Constraints>& bad : std::vector<std::vector<Constraints>>{
             {{{5}}, {{6}}}, {{{}}}, {{{9}}}, {{{-1}}}, {{{4, 5}, {6, 7}}}}) {
      request.constraints = bad;
      EXPECT_EQ(code_of([&] { decode(model, request); }), ErrorCode::kUsage);
    }
    request.constraints = {{{4, 5}, {6}}};
    const DecodeResult result = decode(model, request);
    for (const auto& hypothesis : result.sentences[0]) {
      EXPECT_TRUE(contains(hypothesis.tokens, {4, 5}));
      EXPECT_TRUE(contains(hypothesis.tokens, {6}));
    }
  }
}

}  // namespace
}  // namespace elbeam::search
