// Golden files of single strategies: searches of stock fairseq on scripted log-probabilities, with
// the fields of random_case() in make_golden.py.
#pragma once

#include "search_testing.hpp"

#include <fstream>
#include <sstream>

namespace elbeam::search {

struct StrategyCase {
  struct Hypothesis {
    std::int64_t sentence = 0;
    float score = 0.0F;
    std::vector<std::int64_t> tokens;
  };

  std::int64_t vocab = 0;
  std::int64_t max_positions = 0;
  test::HashScript script;
  std::vector<std::vector<std::int64_t>> sources;
  DecodeRequest request;
  std::vector<Hypothesis> hypotheses;
  bool failure = false;  // fairseq stopped with an exception
};

inline std::vector<std::int64_t> read_ids(std::istream& fields) {
  std::vector<std::int64_t> ids;
  for (std::int64_t id = 0; fields >> id;) ids.push_back(id);
  return ids;
}

// The fields of random_case() into a case that has script, vocab, max_positions and request.
template <typename Case>
void read_case(std::istream& fields, Case& golden) {
  std::string style;
  SearchOptions& options = golden.request.options;
  fields >> golden.script.seed >> style >> golden.vocab >> options.beam >> options.min_len >>
      options.max_len_a >> options.max_len_b >> golden.max_positions >> options.normalize_scores >>
      options.lenpen >> options.unk_penalty >> options.temperature;
  EXPECT_TRUE(fields);
  golden.script.coarse = style.find('c') != std::string::npos;
  golden.script.holes = style.find('h') != std::string::npos;
  golden.script.nans = style.find('n') != std::string::npos;
}

// `extra(kind, fields, case)` reads the lines that only this strategy has.
template <typename Case, typename Extra>
std::vector<Case> read_strategy_golden(const std::string& name, Extra&& extra) {
  std::ifstream file(std::string(ELBEAM_TEST_DATA) + "/search/" + name);
  std::vector<Case> cases;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string kind;
    fields >> kind;
    if (kind == "case") {
      cases.emplace_back();
      read_case(fields, cases.back());
    } else if (kind == "source") {
      cases.back().sources.push_back(read_ids(fields));
    } else if (kind == "prefix") {
      cases.back().request.prefix_tokens.push_back(read_ids(fields));
    } else if (kind == "failure") {
      cases.back().failure = true;
    } else if (kind == "hypothesis") {
      StrategyCase::Hypothesis hypothesis;
      std::string score;
      fields >> hypothesis.sentence >> score;
      hypothesis.score = std::stof(score);
      hypothesis.tokens = read_ids(fields);
      cases.back().hypotheses.push_back(hypothesis);
    } else if (kind != "#") {
      extra(kind, fields, cases.back());
    }
  }
  return cases;
}

// Same tokens in the same order; scores to 1e-6, since exp() and log() of another library may
// differ in the last place.
inline void expect_golden(const DecodeResult& result, const StrategyCase& golden) {
  std::vector<std::size_t> next(golden.sources.size(), 0);
  for (const StrategyCase::Hypothesis& expected : golden.hypotheses) {
    const std::size_t sentence = usize(expected.sentence);
    ASSERT_LT(next[sentence], result.sentences[sentence].size());
    const FinishedHypothesis& actual = result.sentences[sentence][next[sentence]++];
    EXPECT_EQ(actual.tokens, expected.tokens);
    EXPECT_NEAR(actual.score, expected.score, 1e-6 * std::max(1.0F, std::abs(expected.score)));
  }
  for (std::size_t sentence = 0; sentence < next.size(); ++sentence) {
    EXPECT_EQ(next[sentence], result.sentences[sentence].size());
  }
}

}  // namespace elbeam::search
