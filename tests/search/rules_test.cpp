// The pure functions between model and search, and the checks of options.
#include "search/ancestry.hpp"
#include "search/beam_step.hpp"
#include "search/finished.hpp"
#include "search/lprob_rules.hpp"
#include "search/prefix.hpp"
#include "search_testing.hpp"

#include <cmath>
#include <limits>

namespace elbeam::search {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> after_rules(const LprobRules& rules, std::vector<float> log_probs) {
  std::vector<float> bounds(usize(bound_count(ssize(log_probs.size()))), kNan);
  apply_rules(rules, {log_probs, bounds});
  for (std::size_t i = 0; i < log_probs.size(); ++i) {
    EXPECT_LE(log_probs[i], bounds[i / usize(kBoundWidth)]);
  }
  return log_probs;
}

TEST(LprobRules, AlwaysNanPadUnk) {
  LprobRules rules;
  rules.unk_penalty = 0.5F;
  EXPECT_EQ(after_rules(rules, {-1, -2, -3, -4, kNan}),
            (std::vector<float>{-1, -kInf, -3, -4.5F, -kInf}));
}

TEST(LprobRules, NanIsFoundEverywhere) {
  for (const std::size_t place : {0U, 63U, 64U, 100U, 128U, 129U}) {
    std::vector<float> log_probs(130, -1.0F);
    log_probs[place] = kNan;
    log_probs = after_rules({}, log_probs);
    for (std::size_t i = 0; i < log_probs.size(); ++i) {
      EXPECT_EQ(log_probs[i], i == place || i == 1 ? -kInf : -1.0F) << place << ' ' << i;
    }
  }
}

TEST(LprobRules, BoundsAreTheLargestOfEachBlock) {
  std::vector<float> log_probs(3 * 64 + 5);
  for (std::size_t i = 0; i < log_probs.size(); ++i) {
    log_probs[i] = -static_cast<float>(i * 37 % log_probs.size());
  }
  std::vector<float> bounds(4, kNan);
  LprobRules rules;
  rules.unk_penalty = -500.0F;  // a reward, which lifts its block's bound
  apply_rules(rules, {log_probs, bounds});
  for (std::size_t block = 0; block < 4; ++block) {
    const auto begin = log_probs.begin() + static_cast<std::ptrdiff_t>(64 * block);
    const auto end = block < 3 ? begin + 64 : log_probs.end();
    EXPECT_EQ(bounds[block], *std::max_element(begin, end)) << block;
  }
  const LprobRow row{log_probs, bounds};
  row.set(70, 1.0F);
  EXPECT_EQ(bounds[1], 1.0F);
  row.set(70, kNan);  // nothing is known of the block then
  EXPECT_TRUE(std::isnan(bounds[1]));
}

TEST(LprobRules, TheModelsBoundsAreTakenAsTheyAre) {
  std::vector<float> log_probs(130, -1.0F);
  std::vector<float> bounds = {7.0F, kNan, 8.0F};
  apply_rules({}, {log_probs, bounds});
  EXPECT_EQ(bounds, (std::vector<float>{7, -1, 8}));
}

TEST(LprobRules, LengthLimitsAndForcedToken) {
  LprobRules rules;
  rules.at_max_len = true;
  EXPECT_EQ(after_rules(rules, {-1, -2, -3, -4, -5}),
            (std::vector<float>{-kInf, -kInf, -3, -kInf, -kInf}));
  rules = {};
  rules.below_min_len = true;
  EXPECT_EQ(after_rules(rules, {-1, -2, -3, -4, -5}),
            (std::vector<float>{-1, -kInf, -kInf, -4, -5}));
  rules = {};
  rules.unk_penalty = 1.0F;
  rules.forced_token = 3;  // keeps its penalty
  EXPECT_EQ(after_rules(rules, {-1, -2, -3, -4, -5}),
            (std::vector<float>{-kInf, -kInf, -kInf, -5, -kInf}));
}

TEST(LprobRules, InfinitePenaltyForbidsUnk) {
  LprobRules rules;
  rules.unk_penalty = kInf;
  EXPECT_EQ(after_rules(rules, {-1, -2, -3, -4})[3], -kInf);
  EXPECT_EQ(after_rules(rules, {-1, -2, -3, -kInf})[3], -kInf);
}

TEST(BeamStep, TakesTheBestAndNeverEverything) {
  const std::vector<float> log_probs = {-1, -kInf, -3, -4, -2};
  const std::vector<float> nothing = {-0.0F};
  std::vector<ScoredIndex> workspace;
  std::vector<Candidate> candidates;
  best_candidates({log_probs, nothing, 5}, 2, workspace, candidates);
  ASSERT_EQ(candidates.size(), 2U);
  EXPECT_EQ(candidates[0].token, 0);
  EXPECT_EQ(candidates[1].token, 4);
  EXPECT_EQ(candidates[1].score, -2.0F);
  best_candidates({log_probs, nothing, 5}, 8, workspace, candidates);
  EXPECT_EQ(candidates.size(), 4U);
}

TEST(BeamStep, AddsScoresAndNamesRows) {
  const std::vector<float> log_probs = {-1, -2, -3, -1, -2, -9};
  const std::vector<float> scores = {-5, -4.5F};
  std::vector<ScoredIndex> workspace;
  std::vector<Candidate> candidates;
  best_candidates({log_probs, scores, 3}, 4, workspace, candidates);
  ASSERT_EQ(candidates.size(), 4U);
  EXPECT_EQ(candidates[0].row, 1);
  EXPECT_EQ(candidates[0].token, 0);
  EXPECT_EQ(candidates[0].score, -5.5F);
  EXPECT_EQ(candidates[1].row, 0);
  EXPECT_EQ(candidates[2].row, 1);
  EXPECT_EQ(candidates[3].row, 0);
}

TEST(BeamStep, Fates) {
  const std::vector<Candidate> candidates = {{-1, 2, 0}, {-2, 7, 0}, {-3, 2, 1},
                                             {-4, 8, 1}, {-5, 2, 2}, {-kInf, 2, 2}};
  std::vector<Fate> fates;
  const std::vector<std::uint8_t> alive = {0, 0, 0};
  decide_fates(candidates, 2, alive, fates);
  EXPECT_EQ(fates, (std::vector<Fate>{Fate::kFinishes, Fate::kContinues, Fate::kFinishes,
                                      Fate::kContinues, Fate::kDropped, Fate::kContinues}));
  const std::vector<std::uint8_t> dead = {0, 1, 1};
  decide_fates(candidates, 2, dead, fates);
  EXPECT_EQ(fates, (std::vector<Fate>{Fate::kFinishes, Fate::kDropped, Fate::kDropped,
                                      Fate::kContinues, Fate::kDropped, Fate::kContinues}));
}

TEST(BeamStep, SurvivorsInOrderThenFillers) {
  using enum Fate;
  std::vector<std::int64_t> chosen(3);
  std::vector<std::uint8_t> dead(3);
  const std::vector<Fate> enough = {kFinishes, kContinues, kDropped, kContinues, kContinues};
  EXPECT_EQ(choose_survivors(enough, chosen, dead), 3);
  EXPECT_EQ(chosen, (std::vector<std::int64_t>{1, 3, 4}));
  EXPECT_EQ(dead, (std::vector<std::uint8_t>{0, 0, 0}));
  const std::vector<Fate> few = {kFinishes, kContinues, kDropped};
  EXPECT_EQ(choose_survivors(few, chosen, dead), 1);
  EXPECT_EQ(chosen, (std::vector<std::int64_t>{1, 0, 2}));
  EXPECT_EQ(dead, (std::vector<std::uint8_t>{0, 1, 1}));
}

TEST(Ancestry, PathsShareTheirBeginnings) {
  Ancestry ancestry(1);
  const Ancestry::Node a = ancestry.extend(Ancestry::kRoot, 4, -1.0F);
  const Ancestry::Node b = ancestry.extend(a, 5, -2.0F);
  const Ancestry::Node c = ancestry.extend(a, 6, -3.0F);
  std::vector<std::int64_t> tokens;
  std::vector<float> scores;
  ancestry.path(c, tokens, scores);
  EXPECT_EQ(tokens, (std::vector<std::int64_t>{4, 6}));
  EXPECT_EQ(scores, (std::vector<float>{-1.0F, -3.0F}));
  ancestry.path(b, tokens, scores);
  EXPECT_EQ(tokens, (std::vector<std::int64_t>{4, 5}));
  ancestry.path(Ancestry::kRoot, tokens, scores);
  EXPECT_TRUE(tokens.empty());
}

TEST(Finished, ScoresAndOrder) {
  Ancestry ancestry(1);
  const Ancestry::Node a = ancestry.extend(Ancestry::kRoot, 4, -1.0F);
  SearchOptions options;
  const FinishedHypothesis normalized = finish_hypothesis(ancestry, a, 2, -3.0F, options);
  EXPECT_EQ(normalized.tokens, (std::vector<std::int64_t>{4, 2}));
  EXPECT_EQ(normalized.positional_scores, (std::vector<float>{-1.0F, -2.0F}));
  EXPECT_EQ(normalized.score, -1.5F);
  options.normalize_scores = false;
  EXPECT_EQ(finish_hypothesis(ancestry, a, 2, -3.0F, options).score, -3.0F);
  options.normalize_scores = true;
  options.lenpen = 1e6;  // 2^1e6 is beyond double: the score vanishes, nothing breaks
  EXPECT_EQ(finish_hypothesis(ancestry, a, 2, -3.0F, options).score, 0.0F);

  std::vector<FinishedHypothesis> hypotheses(4);
  const float scores[] = {-2.0F, -1.0F, kNan, -1.0F};
  for (std::size_t i = 0; i < 4; ++i) {
    hypotheses[i].score = scores[i];
    hypotheses[i].tokens = {ssize(i)};
  }
  sort_finished(hypotheses);
  EXPECT_EQ(hypotheses[0].tokens[0], 2);  // NaN first, as torch.sort has it
  EXPECT_EQ(hypotheses[1].tokens[0], 1);  // a tie keeps its order
  EXPECT_EQ(hypotheses[2].tokens[0], 3);
  EXPECT_EQ(hypotheses[3].tokens[0], 0);
}

TEST(Prefixes, PaddedMatrix) {
  const std::vector<std::vector<std::int64_t>> tokens = {{4, 5}, {}, {1, 6, 2}};
  const ForcedPrefixes prefixes(tokens, 3, 7, {});
  EXPECT_TRUE(prefixes.covers(0, 2));
  EXPECT_FALSE(prefixes.covers(0, 3));
  EXPECT_EQ(prefixes.token(0, 1), 5);
  EXPECT_EQ(prefixes.token(0, 2), std::nullopt);
  EXPECT_EQ(prefixes.token(1, 0), std::nullopt);
  EXPECT_EQ(prefixes.token(2, 0), std::nullopt);  // pad
  EXPECT_EQ(prefixes.token(2, 2), 2);
  const std::vector<std::int64_t> good = {4};
  const std::vector<std::int64_t> bad = {5};
  prefixes.check_followed(0, good);
  EXPECT_EQ(code_of([&] { prefixes.check_followed(0, bad); }), ErrorCode::kUsage);
}

TEST(Options, Validation) {
  SearchOptions().validate();
  const auto rejects = [](auto change) {
    SearchOptions options;
    change(options);
    return code_of([&] { options.validate(); }) == ErrorCode::kUsage;
  };
  constexpr double kHuge = std::numeric_limits<double>::infinity();
  const double nan = std::nan("");
  EXPECT_TRUE(rejects([](SearchOptions& o) { o.beam = 0; }));
  EXPECT_TRUE(rejects([](SearchOptions& o) { o.beam = -5; }));
  EXPECT_TRUE(rejects([](SearchOptions& o) { o.nbest = 0; }));
  EXPECT_TRUE(rejects([](SearchOptions& o) { o.max_len_a = kHuge; }));
  EXPECT_TRUE(rejects([&](SearchOptions& o) { o.max_len_b = nan; }));
  EXPECT_TRUE(rejects([&](SearchOptions& o) { o.lenpen = nan; }));
  EXPECT_TRUE(rejects([](SearchOptions& o) { o.unk_penalty = -kHuge; }));
  EXPECT_TRUE(rejects([&](SearchOptions& o) { o.unk_penalty = nan; }));
  EXPECT_TRUE(rejects([](SearchOptions& o) { o.temperature = 0; }));
  EXPECT_TRUE(rejects([](SearchOptions& o) { o.temperature = -1; }));
  EXPECT_TRUE(rejects([](SearchOptions& o) { o.temperature = kHuge; }));
  EXPECT_TRUE(rejects([&](SearchOptions& o) { o.temperature = nan; }));
}

TEST(Options, StrategiesAndExtensions) {
  const auto message = [](auto change) {
    SearchOptions options;
    change(options);
    try {
      options.validate();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUsage);
      return std::string(error.what());
    }
    return std::string();
  };
  const auto rejects = [&](const std::string& part, auto change) {
    return message(change).find(part) != std::string::npos;
  };
  const std::string exclusive = "Provided Search parameters are mutually exclusive.";
  EXPECT_TRUE(rejects(exclusive, [](SearchOptions& o) {
    o.strategy = Strategy::kSampling;
    o.diverse_groups = 2;
  }));
  EXPECT_TRUE(rejects(exclusive, [](SearchOptions& o) {
    o.strategy = Strategy::kLengthConstrained;
    o.diversity_rate = 0.5;
  }));
  EXPECT_TRUE(rejects(exclusive, [](SearchOptions& o) {
    o.strategy = Strategy::kDiverseBeam;
    o.diverse_groups = 2;
    o.diversity_rate = 0.1;
  }));
  EXPECT_TRUE(rejects("--diverse-beam-groups", [](SearchOptions& o) { o.diverse_groups = 2; }));
  EXPECT_TRUE(rejects("--diverse-beam-groups",
                      [](SearchOptions& o) { o.strategy = Strategy::kDiverseBeam; }));
  EXPECT_TRUE(rejects("--diversity-rate",
                      [](SearchOptions& o) { o.strategy = Strategy::kDiverseSiblings; }));
  EXPECT_TRUE(rejects("--sampling-topk requires --sampling",
                      [](SearchOptions& o) { o.sampling_topk = 5; }));
  EXPECT_TRUE(rejects("--sampling-topp requires --sampling",
                      [](SearchOptions& o) { o.sampling_topp = 0.5; }));
  EXPECT_TRUE(
      rejects("--no-repeat-ngram-size", [](SearchOptions& o) { o.no_repeat_ngram_size = -1; }));
  EXPECT_TRUE(rejects("patience", [](SearchOptions& o) { o.patience = 0; }));
  EXPECT_TRUE(rejects("coverage", [](SearchOptions& o) { o.coverage_penalty = -1; }));
  EXPECT_TRUE(rejects("repetition", [](SearchOptions& o) { o.repetition_penalty = 0; }));
  EXPECT_TRUE(rejects("suppressed", [](SearchOptions& o) { o.suppressed_sequences = {{}}; }));
  EXPECT_TRUE(rejects("early stopping", [](SearchOptions& o) {
    o.strategy = Strategy::kSampling;
    o.early_stopping = true;
  }));
  EXPECT_EQ(message([](SearchOptions& o) {
              o.strategy = Strategy::kDiverseSiblings;
              o.diversity_rate = 0;
            }),
            "");
}

TEST(Options, MaxTargetLength) {
  SearchOptions options;
  EXPECT_EQ(max_target_length(options, 30, 1024), 200);
  options.max_len_a = 1.2;
  options.max_len_b = 10;
  EXPECT_EQ(max_target_length(options, 7, 1024), 18);  // int(18.4)
  EXPECT_EQ(max_target_length(options, 7, 12), 11);
  options.max_len_a = 0;
  options.max_len_b = 1e300;
  EXPECT_EQ(max_target_length(options, 7, 1024), 1023);
  options.max_len_b = 0;
  EXPECT_EQ(code_of([&] { max_target_length(options, 7, 1024); }), ErrorCode::kUsage);
  options.min_len = 0;
  EXPECT_EQ(max_target_length(options, 7, 1024), 0);
  options.max_len_b = -0.5;  // int() rounds towards zero
  EXPECT_EQ(max_target_length(options, 7, 1024), 0);
  options.min_len = -100;
  for (const double below : {-1.0, -1e300}) {
    options.max_len_b = below;
    EXPECT_EQ(code_of([&] { max_target_length(options, 7, 1024); }), ErrorCode::kUsage);
  }
  options.max_len_b = std::nan("");
  EXPECT_EQ(code_of([&] { max_target_length(options, 7, 1024); }), ErrorCode::kUsage);
  options = SearchOptions();
  options.min_len = 201;
  EXPECT_EQ(code_of([&] { max_target_length(options, 7, 1024); }), ErrorCode::kUsage);
}

}  // namespace
}  // namespace elbeam::search
