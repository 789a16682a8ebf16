// Against stock fairseq: tests/data/search/make_golden.py ran SequenceGenerator on scripted
// log-probabilities; here the same script goes through our search.
#include "search_testing.hpp"
#include "strategy_golden.hpp"

#include <fstream>
#include <map>
#include <sstream>

namespace elbeam::search {
namespace {

struct GoldenHypothesis {
  std::int64_t sentence = 0;
  float score = 0.0F;
  std::uint64_t positional_digest = 0;
  std::uint64_t attention_digest = 0;
  std::vector<std::int64_t> tokens;
};

struct GoldenCase {
  std::int64_t vocab = 0;
  std::int64_t max_positions = 0;
  test::HashScript script;
  std::vector<std::vector<std::int64_t>> sources;
  DecodeRequest request;
  std::vector<GoldenHypothesis> hypotheses;
  bool assertion = false;  // fairseq stopped with an AssertionError
};

// The fields that make_strategy_golden.py adds.
void read_strategy(std::istream& fields, DecodeRequest& request) {
  static const std::map<std::string, Strategy> kNames = {{"beam", Strategy::kBeam},
                                                         {"diverse", Strategy::kDiverseBeam},
                                                         {"siblings", Strategy::kDiverseSiblings},
                                                         {"length", Strategy::kLengthConstrained}};
  std::string name;
  if (!(fields >> name)) return;
  SearchOptions& options = request.options;
  fields >> options.diverse_groups >> options.diverse_strength >> options.diverse_cumulative >>
      options.diversity_rate >> options.source_length_counts_eos >> options.no_repeat_ngram_size;
  EXPECT_TRUE(fields);
  options.strategy = kNames.at(name);
  request.attention = true;
}

GoldenCase read_golden_case(std::istream& fields) {
  GoldenCase golden;
  read_case(fields, golden);
  read_strategy(fields, golden.request);
  return golden;
}

GoldenHypothesis read_hypothesis(std::istream& fields) {
  GoldenHypothesis hypothesis;
  std::string score;
  fields >> hypothesis.sentence >> score >> std::hex >> hypothesis.positional_digest >> std::dec;
  hypothesis.score = std::stof(score);  // operator>> does not read "-inf"
  hypothesis.tokens = read_ids(fields);
  return hypothesis;
}

std::vector<GoldenCase> read_golden(const std::string& name) {
  std::ifstream file(std::string(ELBEAM_TEST_DATA) + "/search/" + name);
  std::vector<GoldenCase> cases;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string kind;
    fields >> kind;
    if (kind == "case") cases.push_back(read_golden_case(fields));
    if (kind == "source") cases.back().sources.push_back(read_ids(fields));
    if (kind == "prefix") cases.back().request.prefix_tokens.push_back(read_ids(fields));
    if (kind == "hypothesis") cases.back().hypotheses.push_back(read_hypothesis(fields));
    if (kind == "attention") {
      fields >> std::hex >> cases.back().hypotheses.back().attention_digest;
    }
    if (kind == "assertion") cases.back().assertion = true;
  }
  return cases;
}

void compare(const DecodeResult& result, const GoldenCase& golden) {
  std::vector<std::size_t> next(golden.sources.size(), 0);
  for (const GoldenHypothesis& expected : golden.hypotheses) {
    const std::size_t sentence = usize(expected.sentence);
    ASSERT_LT(next[sentence], result.sentences[sentence].size());
    const FinishedHypothesis& actual = result.sentences[sentence][next[sentence]++];
    EXPECT_EQ(actual.tokens, expected.tokens);
    EXPECT_EQ(digest(actual.positional_scores), expected.positional_digest);
    if (golden.request.attention) {
      std::vector<float> attention;
      for (const auto& column : actual.attention) {
        attention.insert(attention.end(), column.begin(), column.end());
      }
      EXPECT_EQ(digest(attention), expected.attention_digest);
    }
    // pow() of another C library may differ in the last place, nothing else may.
    if (actual.score == expected.score) continue;  // -inf has no distance
    EXPECT_NEAR(actual.score, expected.score, 1e-6 * std::max(1.0F, std::abs(expected.score)));
  }
  for (std::size_t sentence = 0; sentence < next.size(); ++sentence) {
    EXPECT_EQ(next[sentence], result.sentences[sentence].size());
  }
}

struct Counts {
  int compared = 0;
  int assertions = 0;
};

Counts compare_all(const std::string& name) {
  Counts counts;
  for (GoldenCase& golden : read_golden(name)) {
    SCOPED_TRACE(golden.script.seed);
    const SourceBatch batch = make_batch(golden.sources);
    golden.request.batch = &batch;
    test::ScriptedModel model(golden.vocab, golden.max_positions, golden.script);
    if (golden.assertion) {
      ++counts.assertions;
      try {
        for (const auto& hypotheses : decode(model, golden.request).sentences) {
          EXPECT_FALSE(hypotheses.empty());
        }
      } catch (const Error& error) {
        EXPECT_TRUE(error.code() == ErrorCode::kModel || error.code() == ErrorCode::kUsage)
            << error.what();
      }
      continue;
    }
    ++counts.compared;
    compare(decode(model, golden.request), golden);
    if (testing::Test::HasFailure()) break;
  }
  return counts;
}

TEST(Golden, StockFairseq) {
  const Counts counts = compare_all("beam_search.golden");
  EXPECT_GE(counts.compared, 300);
  EXPECT_GT(counts.assertions, 0);
}

TEST(Golden, StockStrategies) {
  const Counts counts = compare_all("strategies.golden");
  EXPECT_GE(counts.compared, 250);
  EXPECT_GT(counts.assertions, 0);
}

}  // namespace
}  // namespace elbeam::search
