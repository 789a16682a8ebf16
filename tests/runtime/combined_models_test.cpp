#include "runtime/combined_models.hpp"

#include <elbeam/error.hpp>
#include <elbeam/generator.hpp>

#include "support/scripted_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

namespace elbeam::runtime {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Says the same in every step and writes `attention` into each row.
class ConstantModel final : public StepModel {
 public:
  ConstantModel(std::vector<float> log_probs, std::vector<float> attention, bool encoder = true)
      : log_probs_(std::move(log_probs)), attention_(std::move(attention)), encoder_(encoder) {}

  std::int64_t vocab_size() const override { return ssize(log_probs_.size()); }
  std::int64_t max_decoder_positions() const override { return positions; }
  std::int64_t max_source_positions() const override { return positions; }
  bool has_encoder() const override { return encoder_; }
  std::unique_ptr<DecodeState> start(const SourceBatch&, const DecodeShape& shape) override {
    last_temperature = shape.temperature;
    return std::make_unique<State>(*this);
  }

  std::int64_t positions = 10;
  double last_temperature = 0.0;

 private:
  class State final : public DecodeState {
   public:
    explicit State(const ConstantModel& model) : model_(model) {}
    void step(const StepInput& input, const StepOutput& output) override {
      const std::size_t rows = input.tokens.size();
      for (std::size_t row = 0; row < rows; ++row) {
        std::copy(model_.log_probs_.begin(), model_.log_probs_.end(),
                  output.log_probs.begin() + ssize(row * model_.log_probs_.size()));
        if (output.attention.empty()) continue;
        std::copy(model_.attention_.begin(), model_.attention_.end(),
                  output.attention.begin() + ssize(row * model_.attention_.size()));
      }
    }

   private:
    const ConstantModel& model_;
  };

  std::vector<float> log_probs_;
  std::vector<float> attention_;
  bool encoder_;
};

std::shared_ptr<ConstantModel> constant(std::vector<float> log_probs,
                                        std::vector<float> attention = {}, bool encoder = true) {
  return std::make_shared<ConstantModel>(std::move(log_probs), std::move(attention), encoder);
}

struct Answer {
  std::vector<float> log_probs;
  std::vector<float> attention;
};

Answer one_step(StepModel& model, std::size_t rows, std::size_t width) {
  SourceBatch batch;
  batch.sentences.assign(rows, {4, 2});
  batch.padded_length = 2;
  const auto state = model.start(batch, {1, 5, 0.5, width > 0});
  const std::vector<std::int64_t> tokens(rows, 2);
  std::vector<std::int64_t> parents;
  for (std::size_t row = 0; row < rows; ++row) parents.push_back(ssize(row));
  Answer answer{std::vector<float>(rows * usize(model.vocab_size())),
                std::vector<float>(rows * width)};
  state->step({tokens, parents}, {answer.log_probs, answer.attention});
  return answer;
}

TEST(Ensemble, AveragesProbabilitiesAndAttention) {
  const auto a = constant({std::log(0.5F), std::log(0.25F), -kInfinity}, {0.5F, 0.5F});
  const auto b = constant({std::log(0.1F), std::log(0.75F), -kInfinity}, {1.0F, 0.0F});
  const auto model = make_ensemble({a, b});
  const Answer answer = one_step(*model, 3, 2);
  for (std::size_t row = 0; row < 3; ++row) {
    EXPECT_NEAR(answer.log_probs[row * 3], std::log(0.3F), 1e-6);
    EXPECT_NEAR(answer.log_probs[row * 3 + 1], std::log(0.5F), 1e-6);
    EXPECT_EQ(answer.log_probs[row * 3 + 2], -kInfinity);
    EXPECT_FLOAT_EQ(answer.attention[row * 2], 0.75F);
    EXPECT_FLOAT_EQ(answer.attention[row * 2 + 1], 0.25F);
  }
}

TEST(Ensemble, ThreeModelsWeighTheSame) {
  const auto model =
      make_ensemble({constant({std::log(0.2F)}), constant({std::log(0.4F)}), constant({-30.0F})});
  EXPECT_NEAR(one_step(*model, 1, 0).log_probs[0], std::log(0.2), 1e-6);
}

TEST(Ensemble, NotANumberStaysOne) {
  const auto model = make_ensemble({constant({std::nanf("")}), constant({-1.0F})});
  EXPECT_TRUE(std::isnan(one_step(*model, 1, 0).log_probs[0]));
}

TEST(Ensemble, IsAsLimitedAsItsMostLimitedModel) {
  const auto a = constant({-1.0F});
  const auto b = constant({-1.0F});
  b->positions = 7;
  const auto model = make_ensemble({a, b});
  EXPECT_EQ(model->max_decoder_positions(), 7);
  EXPECT_EQ(model->max_source_positions(), 7);
  EXPECT_TRUE(model->has_encoder());
}

TEST(Ensemble, ModelsThatDoNotFitAreRefused) {
  EXPECT_THROW(make_ensemble({constant({-1.0F}), constant({-1.0F, -2.0F})}), Error);
  EXPECT_THROW(make_ensemble({constant({-1.0F}), constant({-1.0F}, {}, false)}), Error);
}

TEST(Fusion, AddsWeightedLogProbabilitiesAtTemperatureOne) {
  const auto model = constant({-1.0F, -2.0F});
  const auto language_model = constant({-4.0F, -0.5F}, {}, false);
  const auto fused = make_fused_model(model, language_model, 0.25);
  const Answer answer = one_step(*fused, 2, 0);
  for (std::size_t row = 0; row < 2; ++row) {
    EXPECT_FLOAT_EQ(answer.log_probs[row * 2], -2.0F);
    EXPECT_FLOAT_EQ(answer.log_probs[row * 2 + 1], -2.125F);
  }
  EXPECT_EQ(model->last_temperature, 0.5);
  EXPECT_EQ(language_model->last_temperature, 1.0);
}

TEST(Fusion, NeedsALanguageModelOfTheSameVocabulary) {
  EXPECT_THROW(make_fused_model(constant({-1.0F}), constant({-1.0F}), 1.0), Error);
  EXPECT_THROW(make_fused_model(constant({-1.0F}), constant({-1.0F, -1.0F}, {}, false), 1.0),
               Error);
}

}  // namespace
}  // namespace elbeam::runtime
