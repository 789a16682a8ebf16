// Against stock fairseq: tests/data/search/make_golden.py ran SequenceGenerator on scripted
// log-probabilities; here the same script goes through our search.
#include "search_testing.hpp"

#include <fstream>
#include <sstream>

namespace elbeam::search {
namespace {

struct GoldenHypothesis {
  std::int64_t sentence = 0;
  float score = 0.0F;
  std::uint64_t positional_digest = 0;
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

std::vector<std::int64_t> read_ids(std::istream& fields) {
  std::vector<std::int64_t> ids;
  for (std::int64_t id = 0; fields >> id;) ids.push_back(id);
  return ids;
}

GoldenCase read_case(std::istream& fields) {
  GoldenCase golden;
  std::string style;
  SearchOptions& options = golden.request.options;
  fields >> golden.script.seed >> style >> golden.vocab >> options.beam >> options.min_len >>
      options.max_len_a >> options.max_len_b >> golden.max_positions >> options.normalize_scores >>
      options.lenpen >> options.unk_penalty >> options.temperature;
  EXPECT_TRUE(fields);
  golden.script.coarse = style.find('c') != std::string::npos;
  golden.script.holes = style.find('h') != std::string::npos;
  golden.script.nans = style.find('n') != std::string::npos;
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

std::vector<GoldenCase> read_golden() {
  std::ifstream file(std::string(ELBEAM_TEST_DATA) + "/search/beam_search.golden");
  std::vector<GoldenCase> cases;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string kind;
    fields >> kind;
    if (kind == "case") cases.push_back(read_case(fields));
    if (kind == "source") cases.back().sources.push_back(read_ids(fields));
    if (kind == "prefix") cases.back().request.prefix_tokens.push_back(read_ids(fields));
    if (kind == "hypothesis") cases.back().hypotheses.push_back(read_hypothesis(fields));
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
    // pow() of another C library may differ in the last place, nothing else may.
    EXPECT_NEAR(actual.score, expected.score, 1e-6 * std::max(1.0F, std::abs(expected.score)));
  }
  for (std::size_t sentence = 0; sentence < next.size(); ++sentence) {
    EXPECT_EQ(next[sentence], result.sentences[sentence].size());
  }
}

TEST(Golden, StockFairseq) {
  int compared = 0;
  int assertions = 0;
  for (GoldenCase& golden : read_golden()) {
    SCOPED_TRACE(golden.script.seed);
    const SourceBatch batch = make_batch(golden.sources);
    golden.request.batch = &batch;
    test::ScriptedModel model(golden.vocab, golden.max_positions, golden.script);
    if (golden.assertion) {
      ++assertions;
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
    ++compared;
    compare(decode(model, golden.request), golden);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GE(compared, 300);
  EXPECT_GT(assertions, 0);
}

}  // namespace
}  // namespace elbeam::search
