// Every family of tests/data/architectures against stock fairseq: log-probabilities of all
// positions and attention, by steps and by known tokens, with both attentions and in fp64.
#include "base/checked_math.hpp"
#include "model/transformer.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

namespace elbeam::model {
namespace {

using nlohmann::json;

const std::filesystem::path kFolder = std::filesystem::path(ELBEAM_TEST_DATA) / "architectures";

struct Sentence {
  std::vector<std::int64_t> source;
  std::vector<std::int64_t> input;
  std::vector<std::vector<double>> log_probs;  // [input][vocabulary]
  std::vector<double> last_warm;               // of the last position, temperature 0.7
  std::vector<std::vector<double>> attention;  // [input][source] or empty
};

struct Family {
  std::string name;
  std::string language_pair;
  std::string overrides;
  std::vector<Sentence> sentences;
};

Family read_family(const std::string& name) {
  std::ifstream file(kFolder / (name + ".json"));
  const json data = json::parse(file);
  Family family;
  family.name = name;
  family.language_pair = data.value("language_pair", "");
  if (!data.at("overrides").empty()) family.overrides = data.at("overrides").dump();
  for (const json& record : data.at("sentences")) {
    Sentence sentence;
    sentence.source = record.value("source", std::vector<std::int64_t>{2});
    sentence.input = record.at("input").get<std::vector<std::int64_t>>();
    sentence.log_probs = record.at("log_probs").get<std::vector<std::vector<double>>>();
    sentence.last_warm = record.at("last_at_temperature_0.7").get<std::vector<double>>();
    sentence.attention = record.value("attention", std::vector<std::vector<double>>{});
    family.sentences.push_back(std::move(sentence));
  }
  return family;
}

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

struct Way {
  Attention attention;
  DType dtype;
  int threads;
};
constexpr Way kWays[] = {{Attention::kMha, DType::kFp32, 1},
                         {Attention::kEl, DType::kFp32, 2},
                         {Attention::kAuto, DType::kFp32, 2},
                         {Attention::kMha, DType::kFp64, 2},
                         {Attention::kEl, DType::kFp64, 1}};

std::unique_ptr<Transformer> load(const Family& family, const Way& way) {
  TransformerOptions options;
  options.attention = way.attention;
  options.dtype = way.dtype;
  options.threads = way.threads;
  options.language_pair = family.language_pair;
  options.model_overrides = family.overrides;
  return load_transformer(archive::Checkpoint::open((kFolder / (family.name + ".pt")).string()),
                          options);
}

SourceBatch batch_of(const Family& family) {
  SourceBatch batch;
  for (const Sentence& sentence : family.sentences) {
    batch.sentences.push_back(sentence.source);
    batch.padded_length = std::max(batch.padded_length, ssize(sentence.source.size()));
  }
  return batch;
}

// Results are float32, and fairseq's gelu and sinusoids are so in fp64 too. What is computed in it
// throughout loses more where a random model's numbers are large.
double tolerance(double stock, DType dtype) {
  const double exact = 1e-5 + 1e-7 * std::abs(stock);
  return dtype == DType::kFp64 ? exact : 1e-4 + exact;
}

void expect_close(std::span<const float> ours, const std::vector<double>& stock, DType dtype,
                  const std::string& where) {
  ASSERT_GE(ours.size(), stock.size()) << where;
  for (std::size_t i = 0; i < stock.size(); ++i)
    ASSERT_NEAR(static_cast<double>(ours[i]), stock[i], tolerance(stock[i], dtype))
        << where << ", element " << i;
}

class Architectures : public testing::TestWithParam<std::string> {};

// Two rows a sentence from the second step on, as beams that happen to agree.
TEST_P(Architectures, StepsEqualStock) {
  const Family family = read_family(GetParam());
  const bool attention = !family.sentences.front().attention.empty();
  const SourceBatch batch = batch_of(family);
  std::int64_t width = batch.padded_length;
  for (const Way& way : kWays) {
    const auto model = load(family, way);
    const auto vocab = usize(model->vocab_size());
    const auto state = model->start(batch, {2, 20, 1.0, attention});
    std::vector<std::int64_t> rows{0, 1};  // sentence of each row
    for (std::size_t step = 0;; ++step) {
      std::vector<std::int64_t> now, tokens, parents;
      for (std::size_t row = 0; row < rows.size(); ++row) {
        const Sentence& sentence = family.sentences[usize(rows[row])];
        if (step >= sentence.input.size()) continue;
        for (int copy = 0; copy < (step == 1 ? 2 : 1); ++copy) {
          now.push_back(rows[row]);
          tokens.push_back(sentence.input[step]);
          parents.push_back(ssize(row));
        }
      }
      rows = now;
      if (rows.empty()) break;
      std::vector<float> log_probs(rows.size() * vocab);
      std::vector<float> weights(attention ? rows.size() * usize(width) : 0);
      state->step({tokens, parents}, {log_probs, weights});
      for (std::size_t row = 0; row < rows.size(); ++row) {
        const Sentence& sentence = family.sentences[usize(rows[row])];
        const std::string where = family.name + ", step " + std::to_string(step);
        expect_close(std::span(log_probs).subspan(row * vocab, vocab), sentence.log_probs[step],
                     way.dtype, where);
        if (attention) {
          auto expected = sentence.attention[step];
          expected.resize(usize(width), 0.0);
          expect_close(std::span(weights).subspan(row * usize(width), usize(width)), expected,
                       way.dtype, where + ", attention");
        }
      }
    }
  }
}

TEST_P(Architectures, KnownTokensEqualStock) {
  const Family family = read_family(GetParam());
  const bool attention = !family.sentences.front().attention.empty();
  const SourceBatch batch = batch_of(family);
  for (const Way& way : kWays) {
    const auto model = load(family, way);
    const auto vocab = usize(model->vocab_size());
    for (std::size_t target = 0; target < vocab; target += 7) {
      const auto state = model->start(batch, {1, 20, 1.0, attention});
      ForcedInput input;
      ForcedOutput output;
      std::vector<std::vector<std::int64_t>> targets;
      std::vector<std::vector<float>> scores, weights;
      for (const Sentence& sentence : family.sentences) {
        targets.emplace_back(sentence.input.size(), ssize(target));
        scores.emplace_back(sentence.input.size());
        weights.emplace_back(sentence.input.size() * usize(batch.padded_length));
      }
      for (std::size_t s = 0; s < targets.size(); ++s) {
        input.tokens.emplace_back(family.sentences[s].input);
        input.targets.emplace_back(targets[s]);
        output.target_log_probs.emplace_back(scores[s]);
        if (attention) output.attention.emplace_back(weights[s]);
      }
      std::vector<float> last(targets.size() * vocab);
      output.last_log_probs = last;
      force(*state, model->vocab_size(), input, output);
      for (std::size_t s = 0; s < targets.size(); ++s) {
        const Sentence& sentence = family.sentences[s];
        for (std::size_t t = 0; t < sentence.input.size(); ++t) {
          const double stock = sentence.log_probs[t][target];
          ASSERT_NEAR(static_cast<double>(scores[s][t]), stock, tolerance(stock, way.dtype))
              << family.name << ", position " << t;
          if (!attention) continue;
          expect_close(std::span(weights[s]).subspan(t * usize(batch.padded_length)),
                       sentence.attention[t], way.dtype, family.name + ", attention");
        }
        expect_close(std::span(last).subspan(s * vocab, vocab), sentence.log_probs.back(),
                     way.dtype, family.name);
      }
      EXPECT_THROW(state->step({input.tokens[0], input.tokens[0]}, {last, {}}), Error)
          << "the sentences differ in length";
    }
  }
}

// A state that has no pass over known tokens: force() goes step by step.
class StepsOnly : public DecodeState {
 public:
  explicit StepsOnly(std::unique_ptr<DecodeState> state) : state_(std::move(state)) {}
  void step(const StepInput& input, const StepOutput& output) override {
    state_->step(input, output);
  }

 private:
  std::unique_ptr<DecodeState> state_;
};

TEST(KnownTokens, StepByStepGivesTheSame) {
  const Family family = read_family("bart");
  const SourceBatch batch = batch_of(family);
  const auto model = load(family, kWays[0]);
  const auto vocab = usize(model->vocab_size());
  StepsOnly state(model->start(batch, {1, 20, 1.0, true}));
  const auto width = usize(batch.padded_length);
  ForcedInput input;
  ForcedOutput output;
  std::vector<std::vector<float>> scores, weights;
  for (const Sentence& sentence : family.sentences) {
    input.tokens.emplace_back(sentence.input);
    input.targets.emplace_back(sentence.input);
    scores.emplace_back(sentence.input.size());
    weights.emplace_back(sentence.input.size() * width);
  }
  for (std::size_t s = 0; s < scores.size(); ++s) {
    output.target_log_probs.emplace_back(scores[s]);
    output.attention.emplace_back(weights[s]);
  }
  std::vector<float> last(scores.size() * vocab);
  output.last_log_probs = last;
  force(state, model->vocab_size(), input, output);
  for (std::size_t s = 0; s < scores.size(); ++s) {
    const Sentence& sentence = family.sentences[s];
    for (std::size_t t = 0; t < sentence.input.size(); ++t) {
      EXPECT_NEAR(static_cast<double>(scores[s][t]),
                  sentence.log_probs[t][usize(sentence.input[t])], 1e-4);
      expect_close(std::span(weights[s]).subspan(t * width), sentence.attention[t], DType::kFp32,
                   "attention");
    }
    expect_close(std::span(last).subspan(s * vocab, vocab), sentence.log_probs.back(), DType::kFp32,
                 "last");
  }
}

TEST(KnownTokens, InputThatDoesNotFitIsRefused) {
  const Family family = read_family("lm_gpt");
  const auto model = load(family, kWays[0]);
  const std::int64_t vocab = model->vocab_size();
  const auto refused = [&](const ForcedInput& input, const ForcedOutput& output) {
    const auto state = model->start({{{2}}, 1}, {1, 3, 1.0, false});
    try {
      force(*state, vocab, input, output);
    } catch (const Error& error) {
      return error.code() == ErrorCode::kUsage;
    }
    return false;
  };
  const std::vector<std::int64_t> two{2, 5}, four{2, 5, 6, 7}, outside{5, vocab};
  std::vector<float> room(4);
  EXPECT_FALSE(refused({{two}, {two}}, {{room}}));
  EXPECT_TRUE(refused({}, {}));
  EXPECT_TRUE(refused({{{}}, {}}, {}));
  EXPECT_TRUE(refused({{two}, {four}}, {{room}}));
  EXPECT_TRUE(refused({{two}, {outside}}, {{room}}));
  EXPECT_TRUE(refused({{two}, {two}}, {})) << "no room for the scores";
  EXPECT_TRUE(refused({{two}, {}}, {{}, room, {}})) << "too little room for the last ones";
  EXPECT_TRUE(refused({{two, two}, {}}, {})) << "more sentences than the batch";
  EXPECT_TRUE(refused({{four}, {}}, {})) << "more tokens than steps";
}

// A prompt of four known tokens, then steps with two rows a sentence.
TEST_P(Architectures, StepsGoOnBehindKnownTokensAtAnyTemperature) {
  const Family family = read_family(GetParam());
  const SourceBatch batch = batch_of(family);
  for (const Way& way : kWays) {
    const auto model = load(family, way);
    const auto vocab = usize(model->vocab_size());
    for (std::size_t s = 0; s < family.sentences.size(); ++s) {
      const Sentence& sentence = family.sentences[s];
      const std::size_t length = sentence.input.size();
      SourceBatch twice = batch;
      twice.sentences = {sentence.source, sentence.source};
      const auto state = model->start(twice, {2, 20, 0.7, false});
      ForcedInput input;
      input.tokens.assign(2, std::span(sentence.input).first(4));
      std::vector<float> last(2 * vocab);
      ForcedOutput output;
      output.last_log_probs = last;
      force(*state, model->vocab_size(), input, output);
      std::vector<float> log_probs(4 * vocab);
      for (std::size_t step = 4; step < length; ++step) {
        const std::vector<std::int64_t> tokens(4, sentence.input[step]);
        const std::vector<std::int64_t> parents = step == 4 ? std::vector<std::int64_t>{0, 0, 1, 1}
                                                            : std::vector<std::int64_t>{1, 0, 2, 3};
        state->step({tokens, parents}, {log_probs, {}});
      }
      for (std::size_t row = 0; row < 4; ++row)
        expect_close(std::span(log_probs).subspan(row * vocab, vocab), sentence.last_warm,
                     way.dtype, family.name);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Stock, Architectures, testing::ValuesIn(family_names()),
                         [](const auto& family) { return family.param; });

TEST(Transformer, LanguageModelsHaveNoSource) {
  const auto model = load(read_family("lm_gpt"), kWays[0]);
  EXPECT_FALSE(model->has_encoder());
  EXPECT_EQ(model->max_decoder_positions(), 32);
  const SourceBatch batch{{{2}}, 1};
  EXPECT_THROW(model->start(batch, {1, 4, 1.0, true}), Error) << "attention to no source";
}

TEST(Transformer, LanguagePairsAreNamed) {
  Family family = read_family("multilingual");
  family.language_pair = "en-fr";
  try {
    load(family, kWays[0]);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    for (const char* pair : {"de-en", "en-de", "en-fr"})
      EXPECT_NE(std::string(error.what()).find(pair), std::string::npos) << error.what();
  }
}

TEST(Transformer, HalfWeightsAreRounded) {
  const Family family = read_family("bart");
  TransformerOptions options;
  options.half = true;
  const auto path = (kFolder / "bart.pt").string();
  const auto model = load_transformer(archive::Checkpoint::open(path), options);
  const SourceBatch batch = batch_of(family);
  const auto state = model->start(batch, {1, 2, 1.0, false});
  std::vector<float> log_probs(2 * usize(model->vocab_size()));
  const std::vector<std::int64_t> tokens{2, 2}, parents{0, 1};
  state->step({tokens, parents}, {log_probs, {}});
  double worst = 0.0;
  for (std::size_t i = 0; i < usize(model->vocab_size()); ++i) {
    worst = std::max(
        worst, std::abs(static_cast<double>(log_probs[i]) - family.sentences[0].log_probs[0][i]));
  }
  EXPECT_GT(worst, 1e-5);
  EXPECT_LT(worst, 5e-2);
}

}  // namespace
}  // namespace elbeam::model
