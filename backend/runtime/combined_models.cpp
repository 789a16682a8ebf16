#include "runtime/combined_models.hpp"

#include "base/aligned_buffer.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

namespace elbeam::runtime {
namespace {

using Models = std::vector<std::shared_ptr<StepModel>>;
using States = std::vector<std::unique_ptr<DecodeState>>;

// torch.logsumexp over the models, then minus log(n), one column at a time.
void average_probabilities(const std::vector<const float*>& log_probs, std::span<float> out) {
  const float log_count = static_cast<float>(std::log(static_cast<double>(log_probs.size())));
  for (std::size_t i = 0; i < out.size(); ++i) {
    float most = -std::numeric_limits<float>::infinity();
    for (const float* row : log_probs) {
      if (std::isnan(row[i])) most = row[i];
      if (!(row[i] <= most) && !std::isnan(most)) most = row[i];
    }
    // Where all are -inf the difference would be NaN; torch takes 0 for an infinite maximum.
    const float offset = std::isinf(most) ? 0.0F : most;
    float sum = 0.0F;
    for (const float* row : log_probs) sum += std::exp(row[i] - offset);
    out[i] = (std::log(sum) + offset) - log_count;
  }
}

// Scratch that a step fills for each model but the first, which writes into the caller's output.
class EnsembleState final : public DecodeState {
 public:
  explicit EnsembleState(States states) : states_(std::move(states)) {}

  void step(const StepInput& input, const StepOutput& output) override {
    const std::size_t probs = output.log_probs.size();
    const std::size_t attention = output.attention.size();
    log_probs_.reserve(checked_mul(ssize(states_.size()), ssize(probs)));
    attention_.reserve(ssize(attention));
    std::vector<const float*> rows;
    for (std::size_t m = 0; m < states_.size(); ++m) {
      float* own = log_probs_.data() + m * probs;
      const std::span<float> own_attention =
          m == 0 ? output.attention : std::span(attention_.data(), attention);
      states_[m]->step(input, {{own, probs}, own_attention});
      if (m > 0) add(own_attention, output.attention);
      rows.push_back(own);
    }
    average_probabilities(rows, output.log_probs);
    const float count = static_cast<float>(states_.size());
    for (float& weight : output.attention) weight /= count;
  }

 private:
  static void add(std::span<const float> from, std::span<float> to) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  }

  States states_;
  AlignedBuffer<float> log_probs_;  // [models, rows, vocab]
  AlignedBuffer<float> attention_;  // [rows, source_width]
};

class Ensemble final : public StepModel {
 public:
  explicit Ensemble(Models models) : models_(std::move(models)) {
    ELBEAM_INVARIANT(models_.size() >= 2);
    for (const auto& model : models_) {
      ELBEAM_CHECK(model->vocab_size() == vocab_size(), ErrorCode::kModel,
                   "the models of an ensemble need one target vocabulary: the first has ",
                   vocab_size(), " symbols, another has ", model->vocab_size());
      ELBEAM_CHECK(model->has_encoder() == has_encoder(), ErrorCode::kModel,
                   "language models and encoder-decoders cannot be in one ensemble");
    }
  }

  std::int64_t vocab_size() const override { return models_.front()->vocab_size(); }
  bool has_encoder() const override { return models_.front()->has_encoder(); }
  std::int64_t max_decoder_positions() const override {
    return smallest([](const StepModel& model) { return model.max_decoder_positions(); });
  }
  std::int64_t max_source_positions() const override {
    return smallest([](const StepModel& model) { return model.max_source_positions(); });
  }

  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    States states;
    for (const auto& model : models_) states.push_back(model->start(batch, shape));
    return std::make_unique<EnsembleState>(std::move(states));
  }

 private:
  template <typename Get>
  std::int64_t smallest(Get get) const {
    std::int64_t least = get(*models_.front());
    for (const auto& model : models_) least = std::min(least, get(*model));
    return least;
  }

  Models models_;
};

class FusedState final : public DecodeState {
 public:
  FusedState(std::unique_ptr<DecodeState> state, std::unique_ptr<DecodeState> language_state,
             float lm_weight)
      : state_(std::move(state)),
        language_state_(std::move(language_state)),
        lm_weight_(lm_weight) {}

  void step(const StepInput& input, const StepOutput& output) override {
    state_->step(input, output);
    log_probs_.reserve(ssize(output.log_probs.size()));
    const std::span<float> fused(log_probs_.data(), output.log_probs.size());
    language_state_->step(input, {fused});
    for (std::size_t i = 0; i < fused.size(); ++i) {
      output.log_probs[i] += fused[i] * lm_weight_;
    }
  }

 private:
  std::unique_ptr<DecodeState> state_;
  std::unique_ptr<DecodeState> language_state_;
  float lm_weight_;
  AlignedBuffer<float> log_probs_;  // [rows, vocab] of the language model
};

class FusedModel final : public StepModel {
 public:
  FusedModel(std::shared_ptr<StepModel> model, std::shared_ptr<StepModel> language_model,
             double lm_weight)
      : model_(std::move(model)),
        language_model_(std::move(language_model)),
        lm_weight_(static_cast<float>(lm_weight)) {
    ELBEAM_CHECK(!language_model_->has_encoder(), ErrorCode::kModel,
                 "the model of --lm-path is no language model: it has an encoder");
    ELBEAM_CHECK(language_model_->vocab_size() == vocab_size(), ErrorCode::kModel,
                 "the language model has ", language_model_->vocab_size(),
                 " symbols and the model has ", vocab_size(),
                 ": its dictionary must be the target dictionary");
  }

  std::int64_t vocab_size() const override { return model_->vocab_size(); }
  bool has_encoder() const override { return model_->has_encoder(); }
  std::int64_t max_decoder_positions() const override { return model_->max_decoder_positions(); }
  std::int64_t max_source_positions() const override { return model_->max_source_positions(); }

  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    auto state = model_->start(batch, shape);
    return std::make_unique<FusedState>(
        std::move(state), language_model_->start(batch, {shape.beam, shape.max_steps}), lm_weight_);
  }

 private:
  std::shared_ptr<StepModel> model_;
  std::shared_ptr<StepModel> language_model_;
  float lm_weight_;
};

}  // namespace

std::shared_ptr<StepModel> make_ensemble(std::vector<std::shared_ptr<StepModel>> models) {
  return std::make_shared<Ensemble>(std::move(models));
}

std::shared_ptr<StepModel> make_fused_model(std::shared_ptr<StepModel> model,
                                            std::shared_ptr<StepModel> language_model,
                                            double lm_weight) {
  return std::make_shared<FusedModel>(std::move(model), std::move(language_model), lm_weight);
}

}  // namespace elbeam::runtime
