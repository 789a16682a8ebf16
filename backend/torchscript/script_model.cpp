#include "torchscript/script_model.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <ATen/Parallel.h>
#include <torch/script.h>

#include <algorithm>
#include <new>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace elbeam::torchscript {
namespace {

// The line of LibTorch's many that says what happened: of an error inside the interpreter the last,
// below the Python stack; of any other the first, above the C++ stack.
std::string reason(std::string_view text) {
  constexpr std::string_view kInterpreter = "The following operation failed in the TorchScript";
  text = text.substr(0, text.find("\nException raised from"));
  if (text.starts_with(kInterpreter)) {
    const std::size_t end = text.find_last_not_of(" \n");
    text = text.substr(0, end == std::string_view::npos ? 0 : end + 1);
    text = text.substr(text.find_last_of('\n') + 1);
  }
  return std::string(text.substr(0, text.find('\n')));
}

[[noreturn]] void translate(const std::string& where, const std::exception& error) {
  const std::string_view text = error.what();
  const bool memory = text.find("not enough memory") != std::string_view::npos ||
                      text.find("can't allocate") != std::string_view::npos;
  fail(memory ? ErrorCode::kOutOfMemory : ErrorCode::kModel, where, ": LibTorch: ", reason(text));
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
  void step(const StepInput& input, const StepOutput& output) override;

 private:
  void encode(const SourceBatch& batch);
  void check(const StepInput& input, const StepOutput& output) const;
  void follow_parents(const StepInput& input);
  void run(const StepInput& input, const StepOutput& output);
  void copy_attention(const torch::jit::IValue& value, std::span<float> attention) const;

  ScriptModel& model_;
  DecodeShape shape_;
  torch::jit::IValue encoder_out_;       // one row per entry of sentences_; None without encoder
  std::vector<std::int64_t> sentences_;  // of each row; before the first step 0..bsz-1
  std::vector<std::int64_t> lengths_;    // [bsz] source tokens; empty without encoder
  std::int64_t longest_ = 0;             // of lengths_
  // fairseq's incremental state; the scripted modules change it in place.
  c10::impl::GenericDict state_;
  torch::Tensor prefix_;  // [rows, steps so far]: the scripted decoder takes the whole prefix
};

class ScriptModel : public StepModel {
 public:
  explicit ScriptModel(const ScriptModelOptions& options) : options_(options) {
    if (options.threads > 0) at::set_num_threads(options.threads);
    c10::InferenceMode inference;
    module_ = torch::jit::load(options.path, torch::kCPU);
    module_.eval();
    if (options.dtype == DType::kFp64) module_.to(torch::kDouble);
    for (const char* method : {"step", "reorder_state"}) require(method);
    if (options.has_encoder) {
      for (const char* method : {"encode", "reorder_encoder_out"}) require(method);
    }
    normalises_ = module_.find_method(kLogProbs).has_value();
  }

  std::int64_t vocab_size() const override { return options_.target_vocab_size; }
  std::int64_t max_decoder_positions() const override { return options_.max_target_positions; }
  bool has_encoder() const override { return options_.has_encoder; }
  std::int64_t max_source_positions() const override { return options_.max_source_positions; }

  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    check(batch);
    at::init_num_threads();  // OpenMP keeps the number for each thread that starts loops
    return guarded(options_.path,
                   [&] { return std::make_unique<ScriptState>(*this, batch, shape); });
  }

  const ScriptModelOptions& options() const { return options_; }
  template <typename... Arguments>
  torch::jit::IValue call(const char* method, Arguments&&... arguments) {
    return module_.get_method(method)({std::forward<Arguments>(arguments)...});
  }

  // What step() returned, divided by the temperature, as log-probabilities. That is logits, and
  // softmax is ours; a model with adaptive softmax returns features and normalises them itself.
  torch::Tensor log_probs(const torch::Tensor& output) {
    return normalises_ ? call(kLogProbs, output).toTensor() : torch::log_softmax(output, -1);
  }

 private:
  static constexpr const char* kLogProbs = "log_probs";

  void require(const char* method) const {
    ELBEAM_CHECK(module_.find_method(method).has_value(), ErrorCode::kModel, options_.path,
                 ": the archive has no method ", method,
                 "; archives are made by python -m torchscript_models.export");
  }

  void check(const SourceBatch& batch) const {
    ELBEAM_CHECK(!batch.sentences.empty(), ErrorCode::kModel, "the batch has no sentences");
    if (!options_.has_encoder) return;  // what the sentences hold is ignored
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
  bool normalises_ = false;
};

c10::impl::GenericDict make_state() {
  return c10::impl::GenericDict(
      c10::StringType::get(),
      c10::DictType::create(c10::StringType::get(),
                            c10::OptionalType::create(c10::TensorType::get())));
}

ScriptState::ScriptState(ScriptModel& model, const SourceBatch& batch, const DecodeShape& shape)
    : model_(model), shape_(shape), sentences_(batch.sentences.size()), state_(make_state()) {
  std::iota(sentences_.begin(), sentences_.end(), 0);
  if (model.has_encoder()) encode(batch);
}

void ScriptState::encode(const SourceBatch& batch) {
  c10::InferenceMode inference;
  for (const auto& sentence : batch.sentences) lengths_.push_back(ssize(sentence.size()));
  longest_ = *std::max_element(lengths_.begin(), lengths_.end());
  const std::int64_t sentences = ssize(batch.sentences.size());
  torch::Tensor tokens =
      torch::full({sentences, longest_}, model_.options().special.pad, torch::kInt64);
  for (std::int64_t s = 0; s < sentences; ++s) {
    const auto& sentence = batch.sentences[usize(s)];
    // Padded on the left, as fairseq's collater pads sources.
    std::copy(sentence.begin(), sentence.end(),
              tokens.data_ptr<std::int64_t>() + (s + 1) * longest_ - ssize(sentence.size()));
  }
  encoder_out_ = model_.call("encode", tokens, to_tensor(lengths_));
}

void ScriptState::step(const StepInput& input, const StepOutput& output) {
  check(input, output);
  guarded(model_.options().path, [&] { run(input, output); });
}

void ScriptState::check(const StepInput& input, const StepOutput& output) const {
  const std::int64_t rows = ssize(input.tokens.size());
  ELBEAM_INVARIANT(rows >= 1 && input.parents.size() == input.tokens.size());
  ELBEAM_INVARIANT(ssize(output.log_probs.size()) == checked_mul(rows, model_.vocab_size()));
  if (!output.attention.empty()) {
    ELBEAM_CHECK(model_.has_encoder(), ErrorCode::kUnsupported, model_.options().path,
                 ": a language model reads no source that it could attend to");
    ELBEAM_INVARIANT(shape_.attention);
    ELBEAM_INVARIANT(ssize(output.attention.size()) == checked_mul(rows, longest_));
  }
  ELBEAM_INVARIANT((prefix_.defined() ? prefix_.size(1) : 0) < shape_.max_steps);
  for (const std::int64_t parent : input.parents) {
    ELBEAM_INVARIANT(parent >= 0 && parent < ssize(sentences_.size()));
  }
  for (const std::int64_t token : input.tokens) {
    ELBEAM_CHECK(token >= 0 && token < model_.vocab_size(), ErrorCode::kModel, "token id ", token,
                 " is outside the decoder's vocabulary of ", model_.vocab_size());
  }
}

// Brings every per-row tensor into the order of this step's rows and appends the tokens.
void ScriptState::follow_parents(const StepInput& input) {
  const torch::Tensor parents = to_tensor(input.parents);
  const torch::Tensor tokens = to_tensor(input.tokens).unsqueeze(1);
  std::vector<std::int64_t> sentences;
  sentences.reserve(input.parents.size());
  for (const std::int64_t parent : input.parents) sentences.push_back(sentences_[usize(parent)]);
  // Rows of a sentence share its encoder output, so that a reorder inside sentences, which most
  // steps are, leaves it alone; fairseq copies it every time.
  if (sentences != sentences_) {
    if (model_.has_encoder()) {
      encoder_out_ = model_.call("reorder_encoder_out", encoder_out_, parents);
    }
    sentences_ = std::move(sentences);
  }
  if (prefix_.defined()) {
    model_.call("reorder_state", state_, parents);
    prefix_ = torch::cat({prefix_.index_select(0, parents), tokens}, 1);
  } else {
    prefix_ = tokens;
  }
}

void ScriptState::run(const StepInput& input, const StepOutput& output) {
  c10::InferenceMode inference;
  const std::int64_t rows = ssize(input.tokens.size());
  follow_parents(input);
  const torch::jit::IValue result = model_.has_encoder()
                                        ? model_.call("step", prefix_, encoder_out_, state_)
                                        : model_.call("step", prefix_, state_);
  const auto& parts = result.toTupleRef().elements();
  const torch::Tensor normalised = model_.log_probs(parts.at(0).toTensor() / shape_.temperature)
                                       .to(torch::kFloat32)
                                       .contiguous();
  ELBEAM_CHECK(normalised.dim() == 2 && normalised.size(0) == rows &&
                   normalised.size(1) == model_.vocab_size(),
               ErrorCode::kModel, model_.options().path, ": step() returned logits of shape ",
               normalised.sizes(), ", expected [", rows, ", ", model_.vocab_size(), "]");
  std::copy_n(normalised.data_ptr<float>(), output.log_probs.size(), output.log_probs.data());
  if (output.attention.empty()) return;
  // Parts: logits, state, attention. Archives of the exporter's first version have two.
  ELBEAM_CHECK(parts.size() > 2, ErrorCode::kUnsupported, model_.options().path,
               ": the archive does not give the attention to the source: it was made before the "
               "exporter wrote that; export the model again");
  copy_attention(parts[2], output.attention);
}

// The scripted module's columns are those of the left-padded sources; ours start at the tokens.
void ScriptState::copy_attention(const torch::jit::IValue& value,
                                 std::span<float> attention) const {
  const std::string& path = model_.options().path;
  ELBEAM_CHECK(!value.isNone(), ErrorCode::kUnsupported, path,
               ": the model gives no attention to the source");
  const std::int64_t rows = ssize(sentences_.size());
  const torch::Tensor padded = value.toTensor().to(torch::kFloat32).contiguous();
  ELBEAM_CHECK(padded.dim() == 2 && padded.size(0) == rows && padded.size(1) == longest_,
               ErrorCode::kModel, path, ": step() returned attention of shape ", padded.sizes(),
               ", expected [", rows, ", ", longest_, "]");
  std::fill(attention.begin(), attention.end(), 0.0F);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t length = lengths_[usize(sentences_[usize(row)])];
    std::copy_n(padded.data_ptr<float>() + (row + 1) * longest_ - length, length,
                attention.data() + row * longest_);
  }
}

}  // namespace

extern "C" __attribute__((visibility("default"))) StepModel* elbeam_load_script_model(
    const ScriptModelOptions& options) {
  return guarded(options.path, [&]() -> StepModel* { return new ScriptModel(options); });
}

}  // namespace elbeam::torchscript
