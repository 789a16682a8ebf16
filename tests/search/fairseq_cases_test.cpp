// The examples of fairseq's own tests (tests/test_sequence_generator.py): two sentences, two words,
// probabilities that are written down for every history or every step, beam 2. The expectations are
// fairseq's.
#include "search_testing.hpp"

#include <cmath>
#include <map>

namespace elbeam::search {
namespace {

constexpr std::int64_t kEos = 2;
constexpr std::int64_t kWord1 = 4;
constexpr std::int64_t kWord2 = 5;
using Ids = std::vector<std::int64_t>;

struct Probabilities {
  double eos, word1, word2;
};

// Histories that the beam keeps, by sentence; others are never asked for with a possible score.
const std::map<Ids, Probabilities> kScripts[2] = {{{{}, {0.0, 0.9, 0.1}},
                                                   {{kWord1}, {1.0, 0.0, 0.0}},
                                                   {{kWord2}, {0.0, 0.9, 0.1}},
                                                   {{kWord2, kWord1}, {0.0, 0.1, 0.9}},
                                                   {{kWord2, kWord2}, {0.6, 0.2, 0.2}},
                                                   {{kWord2, kWord1, kWord2}, {1.0, 0.0, 0.0}},
                                                   {{kWord2, kWord1, kWord1}, {1.0, 0.0, 0.0}}},
                                                  {{{}, {0.0, 0.7, 0.3}},
                                                   {{kWord1}, {0.25, 0.35, 0.4}},
                                                   {{kWord2}, {0.0, 0.1, 0.9}},
                                                   {{kWord1, kWord2}, {0.6, 0.4, 0.0}},
                                                   {{kWord2, kWord2}, {0.01, 0.0, 0.99}},
                                                   {{kWord2, kWord2, kWord2}, {0.1, 0.5, 0.4}},
                                                   {{kWord1, kWord2, kWord1}, {1.0, 0.0, 0.0}}}};

void script(const test::ScriptInput& input, std::span<float> log_probs) {
  std::fill(log_probs.begin(), log_probs.end(), -std::numeric_limits<float>::infinity());
  const auto& histories = kScripts[input.source[0]];
  const auto found = histories.find(Ids(input.history.begin(), input.history.end()));
  if (found == histories.end()) return;
  log_probs[kEos] = std::log(static_cast<float>(found->second.eos));
  log_probs[kWord1] = std::log(static_cast<float>(found->second.word1));
  log_probs[kWord2] = std::log(static_cast<float>(found->second.word2));
}

// Diverse search: probabilities by step, whatever the hypothesis.
constexpr Probabilities kSteps[2][3] = {{{0.0, 0.9, 0.1}, {0.0, 0.6, 0.4}, {1.0, 0.0, 0.0}},
                                        {{0.0, 0.7, 0.3}, {0.25, 0.35, 0.4}, {0.9, 0.1, 0.0}}};

void script_by_step(const test::ScriptInput& input, std::span<float> log_probs) {
  std::fill(log_probs.begin(), log_probs.end(), -std::numeric_limits<float>::infinity());
  const Probabilities& step =
      kSteps[input.source[0]][std::min<std::size_t>(input.history.size(), 2)];
  log_probs[kEos] = std::log(static_cast<float>(step.eos));
  log_probs[kWord1] = std::log(static_cast<float>(step.word1));
  log_probs[kWord2] = std::log(static_cast<float>(step.word2));
}

struct Expected {
  Ids tokens;
  std::vector<double> probabilities;  // of each token
  std::vector<double> penalties{};    // subtracted from their logarithms
};

class FairseqCases : public testing::Test {
 protected:
  FairseqCases() {
    options_.beam = 2;
    options_.max_len_b = 200;
  }

  void run_and_expect(const std::vector<std::vector<Expected>>& expected) {
    const SourceBatch batch = make_batch({{0, kEos}, {1, kEos}});
    DecodeRequest request;
    request.batch = &batch;
    request.options = options_;
    test::ScriptedModel model(6, 1024, script_);
    const DecodeResult result = decode(model, request);
    for (std::size_t sentence = 0; sentence < 2; ++sentence) {
      ASSERT_EQ(result.sentences[sentence].size(), expected[sentence].size());
      for (std::size_t i = 0; i < expected[sentence].size(); ++i) {
        expect_hypothesis(result.sentences[sentence][i], expected[sentence][i]);
      }
    }
  }

  void expect_hypothesis(const FinishedHypothesis& actual, const Expected& expected) {
    EXPECT_EQ(actual.tokens, expected.tokens);
    ASSERT_EQ(actual.positional_scores.size(), expected.probabilities.size());
    double total = 0.0;
    for (std::size_t i = 0; i < expected.probabilities.size(); ++i) {
      const double penalty = expected.penalties.empty() ? 0.0 : expected.penalties[i];
      const double value = std::log(expected.probabilities[i]) - penalty;
      EXPECT_NEAR(actual.positional_scores[i], value, 1e-6);
      total += value;
    }
    if (options_.normalize_scores) {
      total /= std::pow(static_cast<double>(expected.tokens.size()), options_.lenpen);
    }
    EXPECT_NEAR(actual.score, total, 1e-6);
  }

  SearchOptions options_;
  test::Script script_ = script;
};

const Expected kFirstShort = {{kWord1, kEos}, {0.9, 1.0}};
const Expected kFirstLong = {{kWord2, kWord1, kWord2, kEos}, {0.1, 0.9, 0.9, 1.0}};
const Expected kSecondShort = {{kWord1, kWord2, kEos}, {0.7, 0.4, 0.6}};
const Expected kSecondLong = {{kWord1, kWord2, kWord1, kEos}, {0.7, 0.4, 0.4, 1.0}};

TEST_F(FairseqCases, WithNormalization) {
  run_and_expect({{kFirstShort, kFirstLong}, {kSecondLong, kSecondShort}});
}

TEST_F(FairseqCases, WithoutNormalization) {
  options_.normalize_scores = false;
  run_and_expect({{kFirstShort, kFirstLong}, {kSecondShort, kSecondLong}});
}

TEST_F(FairseqCases, LenpenFavoringShort) {
  options_.lenpen = 0.6;
  run_and_expect({{kFirstShort, kFirstLong}, {kSecondShort, kSecondLong}});
}

TEST_F(FairseqCases, LenpenFavoringLong) {
  options_.lenpen = 5.0;
  run_and_expect({{kFirstLong, kFirstShort}, {kSecondLong, kSecondShort}});
}

TEST_F(FairseqCases, MaxLen) {
  options_.max_len_b = 2;
  run_and_expect({{kFirstShort, {{kWord2, kWord2, kEos}, {0.1, 0.1, 0.6}}},
                  {kSecondShort, {{kWord2, kWord2, kEos}, {0.3, 0.9, 0.01}}}});
}

TEST_F(FairseqCases, DiverseBeamSearch) {
  script_ = script_by_step;
  options_.strategy = Strategy::kDiverseBeam;
  options_.diverse_groups = 2;
  options_.diverse_strength = 0.0;
  const Expected first = {{kWord1, kWord1, kEos}, {0.9, 0.6, 1.0}};
  const Expected second = {{kWord1, kWord2, kEos}, {0.7, 0.4, 0.9}};
  run_and_expect({{first, first}, {second, second}});
}

TEST_F(FairseqCases, DiverseSiblingsSearch) {
  script_ = script_by_step;
  options_.strategy = Strategy::kDiverseSiblings;
  options_.diversity_rate = 0.5;
  run_and_expect({{{{kWord1, kWord1, kEos}, {0.9, 0.6, 1.0}, {0, 0.5, 0.5}},
                   {{kWord1, kWord2, kEos}, {0.9, 0.4, 1.0}, {0, 1.0, 0.5}}},
                  {{{kWord1, kWord2, kEos}, {0.7, 0.4, 0.9}, {0, 0.5, 0.5}},
                   {{kWord1, kWord1, kEos}, {0.7, 0.35, 0.9}, {0, 1.0, 0.5}}}});
}

}  // namespace
}  // namespace elbeam::search
