#include "torchscript/script_model.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <ATen/Parallel.h>
#include <torch/script.h>

#include <algorithm>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace elbeam::torchscript {
namespace {

// LibTorch's errors carry a stack trace; their first line says what happened.
[[noreturn]] void translate(const std::string& where, const std::exception& error) {
  const std::string text = error.what();
  const bool memory = text.find("not enough memory") != std::string::npos ||
                      text.find("can't allocate") != std::string::npos;
  fail(memory ? ErrorCode::kOutOfMemory : ErrorCode::kModel, where,
       ": LibTorch: ", text.substr(0, text.find('\n')));
}

template <typename Function>
auto guarded(const std::string& where, Function&& function) {
  try {
    return function();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::kOutOfMemory, where, ": LibTorch: not enough memory");
  } catch (const std::exception& error) {
    translate(where, error);
  }
}

torch::Tensor to_tensor(std::span<const std::int64_t> values) {
  torch::Tensor tensor = torch::empty({ssize(values.size())}, torch::kInt64);
  std::copy(values.begin(), values.end(), tensor.data_ptr<std::int64_t>());
  return tensor;
}

class ScriptModel;

class ScriptState : public DecodeState {
 public:
  ScriptState(ScriptModel& model, const SourceBatch& batch, const DecodeShape& shape);
  void step(const StepInput& input, std::span<float> log_probs) override;

 private:
  void run(const StepInput& input, std::span<float> log_probs);

  ScriptModel& model_;
  DecodeShape shape_;
  torch::jit::IValue encoder_out_;
  // fairseq's incremental state; the scripted modules change it in place.
  c10::impl::GenericDict state_;
  torch::Tensor prefix_;  // [rows, steps so far]: the scripted decoder takes the whole prefix
  std::int64_t rows_ = 0;
};

class ScriptModel : public StepModel {
 public:
  explicit ScriptModel(const ScriptModelOptions& options) : options_(options) {
    if (options.threads > 0) at::set_num_threads(options.threads);
    c10::InferenceMode inference;
    module_ = torch::jit::load(options.path, torch::kCPU);
    module_.eval();
    if (options.dtype == DType::kFp64) module_.to(torch::kDouble);
    for (const char* method : {"encode", "step", "reorder_state", "reorder_encoder_out"}) {
      ELBEAM_CHECK(module_.find_method(method).has_value(), ErrorCode::kModel, options.path,
                   ": the archive has no method ", method,
                   "; archives are made by python -m torchscript_models.export");
    }
  }

  std::int64_t vocab_size() const override { return options_.target_vocab_size; }
  std::int64_t max_decoder_positions() const override { return options_.max_target_positions; }
  std::int64_t max_source_positions() const override { return options_.max_source_positions; }

  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    check(batch);
    return guarded(options_.path,
                   [&] { return std::make_unique<ScriptState>(*this, batch, shape); });
  }

  const ScriptModelOptions& options() const { return options_; }
  template <typename... Arguments>
  torch::jit::IValue call(const char* method, Arguments&&... arguments) {
    return module_.get_method(method)({std::forward<Arguments>(arguments)...});
  }

 private:
  void check(const SourceBatch& batch) const {
    ELBEAM_CHECK(!batch.sentences.empty(), ErrorCode::kModel, "the batch has no sentences");
    for (std::size_t s = 0; s < batch.sentences.size(); ++s) {
      const auto& sentence = batch.sentences[s];
      ELBEAM_CHECK(!sentence.empty() && ssize(sentence.size()) <= options_.max_source_positions,
                   ErrorCode::kModel, "source sentence ", s, " of the batch: expected 1 to ",
                   options_.max_source_positions, " tokens, got ", sentence.size());
      for (const std::int64_t token : sentence) {
        ELBEAM_CHECK(token >= 0 && token < options_.source_vocab_size, ErrorCode::kModel,
                     "token id ", token, " is outside the encoder's vocabulary of ",
                     options_.source_vocab_size);
        ELBEAM_CHECK(token != options_.special.pad, ErrorCode::kModel, "source sentence ", s,
                     " of the batch holds the padding symbol");
      }
    }
  }

  ScriptModelOptions options_;
  torch::jit::Module module_;
};

c10::impl::GenericDict make_state() {
  return c10::impl::GenericDict(
      c10::StringType::get(),
      c10::DictType::create(c10::StringType::get(),
                            c10::OptionalType::create(c10::TensorType::get())));
}

ScriptState::ScriptState(ScriptModel& model, const SourceBatch& batch, const DecodeShape& shape)
    : model_(model), shape_(shape), state_(make_state()) {
  c10::InferenceMode inference;
  std::int64_t longest = 0;
  for (const auto& sentence : batch.sentences) longest = std::max(longest, ssize(sentence.size()));
  const std::int64_t sentences = ssize(batch.sentences.size());
  torch::Tensor tokens =
      torch::full({sentences, longest}, model.options().special.pad, torch::kInt64);
  std::vector<std::int64_t> lengths;
  for (std::int64_t s = 0; s < sentences; ++s) {
    const auto& sentence = batch.sentences[usize(s)];
    lengths.push_back(ssize(sentence.size()));
    // Padded on the left, as fairseq's collater pads sources.
    std::copy(sentence.begin(), sentence.end(),
              tokens.data_ptr<std::int64_t>() + s * longest + longest - lengths.back());
  }
  encoder_out_ = model.call("encode", tokens, to_tensor(lengths));
}

void ScriptState::step(const StepInput& input, std::span<float> log_probs) {
  guarded(model_.options().path, [&] { run(input, log_probs); });
}

void ScriptState::run(const StepInput& input, std::span<float> log_probs) {
  c10::InferenceMode inference;
  const std::int64_t rows = ssize(input.tokens.size());
  ELBEAM_INVARIANT(rows >= 1 && input.parents.size() == input.tokens.size());
  ELBEAM_INVARIANT(ssize(log_probs.size()) >= rows * model_.vocab_size());
  for (const std::int64_t token : input.tokens) {
    ELBEAM_CHECK(token >= 0 && token < model_.vocab_size(), ErrorCode::kModel, "token id ", token,
                 " is outside the decoder's vocabulary of ", model_.vocab_size());
  }
  const torch::Tensor parents = to_tensor(input.parents);
  const torch::Tensor tokens = to_tensor(input.tokens).unsqueeze(1);
  // In the first step the parents are sentences, of which some may have several rows or none.
  encoder_out_ = model_.call("reorder_encoder_out", encoder_out_, parents);
  if (prefix_.defined()) {
    ELBEAM_INVARIANT(prefix_.size(1) < shape_.max_steps);
    model_.call("reorder_state", state_, parents);
    prefix_ = torch::cat({prefix_.index_select(0, parents), tokens}, 1);
  } else {
    prefix_ = tokens;
  }
  const torch::jit::IValue result = model_.call("step", prefix_, encoder_out_, state_);
  torch::Tensor logits = result.toTupleRef().elements().at(0).toTensor();
  ELBEAM_CHECK(logits.dim() == 2 && logits.size(0) == rows && logits.size(1) == model_.vocab_size(),
               ErrorCode::kModel, model_.options().path, ": step() returned logits of shape ",
               logits.sizes(), ", expected [", rows, ", ", model_.vocab_size(), "]");
  const torch::Tensor normalised =
      torch::log_softmax(logits / shape_.temperature, -1).to(torch::kFloat32).contiguous();
  std::copy_n(normalised.data_ptr<float>(), rows * model_.vocab_size(), log_probs.data());
}

}  // namespace

extern "C" __attribute__((visibility("default"))) StepModel* elbeam_load_script_model(
    const ScriptModelOptions& options) {
  return guarded(options.path, [&]() -> StepModel* { return new ScriptModel(options); });
}

}  // namespace elbeam::torchscript
