// Random numbers, draws and sampled searches against torch and stock fairseq
// (tests/data/search/make_sampling_golden.py), and the checks of fairseq's own tests.
#include "search/multinomial.hpp"
#include "strategy_golden.hpp"

#include <cmath>
#include <limits>

namespace elbeam::search {
namespace {

TEST(RandomStream, IsTorchsGenerator) {
  // torch.manual_seed(7); torch.empty(4, dtype=torch.int32).random_()  (31 bits are kept)
  RandomStream random(7);
  for (const std::uint32_t expected : {327741615U, 976413892U, 1202242073U, 1369975286U}) {
    EXPECT_EQ(random.next() & 0x7fffffffU, expected);
  }
  // torch.manual_seed(7); torch.rand(3, dtype=torch.float64)
  RandomStream doubles(7);
  for (const double expected : {0.279380429906404, 0.27369371365176565, 0.8620929614176255}) {
    EXPECT_DOUBLE_EQ(doubles.uniform(), expected);
  }
}

TEST(RandomStream, SkipsAndSeesTheLowerHalfOfTheSeed) {
  RandomStream skipped((std::uint64_t{3} << 32) + 7);
  skipped.skip(100'000);
  RandomStream read(7);
  for (int i = 0; i < 100'000; ++i) read.next();
  EXPECT_EQ(skipped.next(), read.next());
}

TEST(Multinomial, IsTorchs) {
  std::ifstream file(std::string(ELBEAM_TEST_DATA) + "/search/multinomial.golden");
  int compared = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream fields(line);
    std::uint64_t seed = 0, skip = 0, rows = 0, expected = 0;
    std::int64_t width = 0, samples = 0;
    fields >> seed >> skip >> rows >> width >> samples >> std::hex >> expected;
    ASSERT_TRUE(fields) << line;
    RandomStream random(seed);
    random.skip(skip);
    std::vector<std::int64_t> drawn;
    std::vector<float> probabilities(usize(width));
    std::vector<float> workspace;
    for (std::uint64_t row = 0; row < 2 * rows; ++row) {
      for (std::size_t i = 0; i < probabilities.size(); ++i) {
        const std::uint64_t bits = test::HashScript::mix(seed * 1000 + row % rows, i);
        probabilities[i] =
            bits % 7 == 0 ? 0.0F : static_cast<float>((bits >> 8) % (1 << 24)) * 0x1p-24F;
      }
      probabilities[0] += 0x1p-4F;
      if (samples == 1) {
        drawn.push_back(draw_one(probabilities, width, random));
      } else {
        std::vector<std::int64_t> several(usize(samples));
        draw_several(probabilities, random, several, workspace);
        drawn.insert(drawn.end(), several.begin(), several.end());
      }
    }
    EXPECT_EQ(digest(drawn), expected) << line;
    ++compared;
  }
  EXPECT_EQ(compared, 200);
}

TEST(Multinomial, WidthBeyondTheProbabilitiesIsDrawnToo) {
  const std::vector<float> short_row = {0.25F, 0.5F};
  const std::vector<float> long_row = {0.25F, 0.5F, 0.0F, 0.0F};
  RandomStream a(3);
  RandomStream b(3);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(draw_one(short_row, 4, a), draw_one(long_row, 4, b));
  }
  EXPECT_EQ(a.next(), b.next());
}

TEST(Multinomial, RefusesWhatIsNoDistribution) {
  RandomStream random(1);
  std::vector<float> workspace;
  std::vector<std::int64_t> samples(2);
  for (const float bad : {-0.5F, std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN(), 0.0F}) {
    const std::vector<float> row = {0.0F, bad, 0.0F};
    EXPECT_EQ(code_of([&] { draw_one(row, 3, random); }), ErrorCode::kModel);
    EXPECT_EQ(code_of([&] { draw_several(row, random, samples, workspace); }), ErrorCode::kModel);
  }
}

struct SamplingCase : StrategyCase {
  std::uint64_t seed = 0;
  std::uint32_t following = 0;  // the next random number after the search, 31 bits
};

TEST(Sampling, GoldenOfStockFairseq) {
  int compared = 0;
  int failures = 0;
  auto cases = read_strategy_golden<SamplingCase>(
      "sampling.golden", [](const std::string& kind, std::istream& fields, SamplingCase& golden) {
        ASSERT_EQ(kind, "sampling");
        golden.request.options.strategy = Strategy::kSampling;
        fields >> golden.request.options.sampling_topk >> golden.request.options.sampling_topp >>
            golden.seed >> golden.following;
        ASSERT_TRUE(fields);
      });
  for (SamplingCase& golden : cases) {
    SCOPED_TRACE(golden.script.seed);
    const SourceBatch batch = make_batch(golden.sources);
    golden.request.batch = &batch;
    RandomStream random(golden.seed);
    golden.request.random = &random;
    test::ScriptedModel model(golden.vocab, golden.max_positions, golden.script);
    if (golden.failure) {
      ++failures;
      const ErrorCode code = code_of([&] { decode(model, golden.request); });
      EXPECT_TRUE(code == ErrorCode::kModel || code == ErrorCode::kUsage);
      continue;
    }
    ++compared;
    expect_golden(decode(model, golden.request), golden);
    EXPECT_EQ(random.next() & 0x7fffffffU, golden.following);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GE(compared, 300);
  EXPECT_GT(failures, 0);
}

TEST(Sampling, BadInput) {
  test::ScriptedModel model(9, 1024, test::HashScript{1});
  const SourceBatch batch = make_batch({{5, 2}});
  DecodeRequest request;
  request.batch = &batch;
  request.options.strategy = Strategy::kSampling;
  EXPECT_EQ(code_of([&] { decode(model, request); }), ErrorCode::kUsage);  // no stream
  RandomStream random(1);
  request.random = &random;
  request.options.sampling_topk = 10;
  EXPECT_EQ(code_of([&] { decode(model, request); }), ErrorCode::kUsage);
  request.options.sampling_topk = 9;
  EXPECT_EQ(decode(model, request).sentences[0].size(), 5U);
}

// fairseq's tests/test_sequence_generator.py, TestTopPSamplingSearch: two words and eos, the same
// probabilities for every history; the first word and the end are certain.
class TopPSampling : public testing::Test {
 protected:
  static constexpr std::int64_t kEos = 2, kWord1 = 4, kWord2 = 5;

  static void script(const test::ScriptInput& input, std::span<float> log_probs) {
    constexpr float kSteps[3][3] = {{0.0F, 1.0F, 0.0F}, {0.25F, 0.4F, 0.35F}, {1.0F, 0.0F, 0.0F}};
    std::fill(log_probs.begin(), log_probs.end(), -std::numeric_limits<float>::infinity());
    const auto& step = kSteps[std::min<std::size_t>(input.history.size(), 2)];
    log_probs[kEos] = std::log(step[0]);
    log_probs[kWord1] = std::log(step[1]);
    log_probs[kWord2] = std::log(step[2]);
  }

  static std::vector<FinishedHypothesis> sample(double topp, std::uint64_t seed) {
    test::ScriptedModel model(6, 1024, script);
    const SourceBatch batch = make_batch({{kWord1, kWord2, kEos}, {kWord1, kWord2, kEos}});
    DecodeRequest request;
    request.batch = &batch;
    request.options.beam = 2;
    request.options.strategy = Strategy::kSampling;
    request.options.sampling_topp = topp;
    RandomStream random(seed);
    request.random = &random;
    std::vector<FinishedHypothesis> all;
    for (auto& sentence : decode(model, request).sentences) {
      EXPECT_EQ(sentence.size(), 2U);
      all.insert(all.end(), sentence.begin(), sentence.end());
    }
    return all;
  }

  static bool is(const FinishedHypothesis& actual, std::int64_t second, float probability) {
    const std::vector<std::int64_t> tokens = {kWord1, second, kEos};
    return actual.tokens == tokens &&
           std::abs(actual.positional_scores[1] - std::log(probability)) < 1e-6 &&
           std::abs(actual.score - std::log(probability) / 3) < 1e-6;
  }
};

TEST_F(TopPSampling, LowProbabilityAlwaysTakesTheBest) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    for (const auto& hypothesis : sample(0.4 / 2, seed)) EXPECT_TRUE(is(hypothesis, kWord1, 0.4F));
  }
}

TEST_F(TopPSampling, HighProbabilityTakesOneOfTheBestTwo) {
  int first = 0;
  int second = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    for (const auto& hypothesis : sample((0.4 + 0.75) / 2, seed)) {
      first += static_cast<int>(is(hypothesis, kWord1, 0.4F));
      second += static_cast<int>(is(hypothesis, kWord2, 0.35F));
    }
  }
  EXPECT_EQ(first + second, 200);
  EXPECT_GT(first, 70);  // 107 are expected
  EXPECT_GT(second, 60);
}

}  // namespace
}  // namespace elbeam::search
