#include "model/gpt2.hpp"

#include "base/aligned_buffer.hpp"
#include "base/check.hpp"
#include "base/limits.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace elbeam::model {
namespace {

using archive::Checkpoint;
using archive::TensorType;
using archive::TensorView;
using nlohmann::json;

constexpr std::int64_t kSpecials = 4;        // <s>, <pad>, </s>, <unk>
constexpr std::int64_t kPositionOffset = 2;  // rows before position 0 of fairseq's learned tables

using Tensors = std::map<std::string, TensorView, std::less<>>;

class Gpt2Checkpoint : public Checkpoint {
 public:
  explicit Gpt2Checkpoint(std::shared_ptr<const Checkpoint> original);

  const std::string& path() const noexcept override { return original_->path(); }
  archive::CheckpointFormat format() const noexcept override { return original_->format(); }
  const Tensors& tensors() const noexcept override { return tensors_; }
  const json& config() const noexcept override { return config_; }
  const std::string* extra_file(std::string_view name) const noexcept override {
    return name == "dict.src.txt" || name == "dict.tgt.txt" ? &dictionary_ : nullptr;
  }
  void release(std::span<const std::byte> part) const noexcept override {
    original_->release(part);
  }
  const archive::FileIdentity& identity() const noexcept override { return original_->identity(); }
  const struct stat& status() const noexcept override { return original_->status(); }
  void check_numbers() const override { original_->check_numbers(); }

 private:
  std::int64_t integer(const char* key, std::int64_t lowest, std::int64_t highest) const;
  void refuse_unless(bool right, const char* key) const;
  void read_config();
  const TensorView& original(const std::string& name, const std::vector<std::int64_t>& shape) const;
  void linear(const std::string& from, const std::string& to, std::int64_t inputs,
              std::int64_t outputs);
  void attention(const std::string& from, const std::string& to);
  void norm(const std::string& from, const std::string& to);
  void layer(std::int64_t index);
  // A table of `rows` rows; row r is row source(r) of the original, or zero where that is negative.
  template <typename Source>
  TensorView moved_rows(const TensorView& table, std::int64_t rows, Source&& source);
  void vocabulary();
  std::int64_t original_id(std::int64_t id) const;

  std::shared_ptr<const Checkpoint> original_;
  std::string prefix_;  // "transformer." or none
  std::int64_t width_ = 0, layers_ = 0, positions_ = 0, vocab_ = 0, end_ = 0;
  json config_;
  Tensors tensors_;
  std::deque<AlignedBuffer<std::byte>> moved_;
  AlignedBuffer<float> output_bias_;
  std::string dictionary_;
};

const json& facts(const Checkpoint& checkpoint) { return checkpoint.config().at("huggingface"); }

std::int64_t Gpt2Checkpoint::integer(const char* key, std::int64_t lowest,
                                     std::int64_t highest) const {
  const json& config = facts(*original_);
  const auto it = config.find(key);
  ELBEAM_CHECK(it != config.end() && it->is_number_integer() && it->get<std::int64_t>() >= lowest &&
                   it->get<std::int64_t>() <= highest,
               ErrorCode::kModel, path(), ": config.json: ", key, ": expected ", lowest, " to ",
               highest, ", got ", it == config.end() ? "nothing" : quoted(it->dump()));
  return it->get<std::int64_t>();
}

void Gpt2Checkpoint::refuse_unless(bool right, const char* key) const {
  ELBEAM_CHECK(right, ErrorCode::kUnsupported, path(),
               ": config.json: the native engine cannot run ", key, " = ",
               facts(*original_).contains(key) ? facts(*original_).at(key).dump() : "");
}

void Gpt2Checkpoint::read_config() {
  const json& config = facts(*original_);
  refuse_unless(config.value("model_type", json()) == "gpt2", "model_type");
  for (const char* key : {"scale_attn_by_inverse_layer_idx", "add_cross_attention"})
    refuse_unless(config.value(key, json(false)) == false, key);
  refuse_unless(config.value("scale_attn_weights", json(true)) == true, "scale_attn_weights");
  const json epsilon = config.value("layer_norm_epsilon", json(1e-5));
  refuse_unless(epsilon.is_number() && std::abs(epsilon.get<double>() - 1e-5) < 1e-12,
                "layer_norm_epsilon");
  const json function = config.value("activation_function", json("gelu_new"));
  static constexpr std::array<std::pair<const char*, const char*>, 5> kFunctions{{
      {"gelu_new", "gelu_accurate"},
      {"gelu_pytorch_tanh", "gelu_accurate"},
      {"gelu", "gelu"},
      {"relu", "relu"},
      {"tanh", "tanh"},
  }};
  const auto known = std::find_if(kFunctions.begin(), kFunctions.end(),
                                  [&](const auto& pair) { return function == pair.first; });
  refuse_unless(known != kFunctions.end(), "activation_function");
  width_ = integer("n_embd", 1, limits::kMaxModelWidth);
  layers_ = integer("n_layer", 1, limits::kMaxLayers);
  positions_ = integer("n_positions", 1, limits::kMaxSequenceLength);
  vocab_ = integer("vocab_size", 2, limits::kMaxDictionaryEntries);
  end_ = integer("eos_token_id", 0, vocab_ - 1);
  config_["model"] = {{"arch", "transformer_lm_gpt2"},
                      {"decoder_attention_heads", integer("n_head", 1, limits::kMaxModelWidth)},
                      {"decoder_learned_pos", true},
                      {"decoder_normalize_before", true},
                      {"no_scale_embedding", true},
                      {"activation_fn", known->second},
                      {"max_target_positions", positions_}};
  config_["task"] = json::object();
  config_["huggingface"] = config;
}

const TensorView& Gpt2Checkpoint::original(const std::string& name,
                                           const std::vector<std::int64_t>& shape) const {
  const auto it = original_->tensors().find(name);
  ELBEAM_CHECK(it != original_->tensors().end(), ErrorCode::kModel, path(), ": tensor ",
               quoted(name, 200), " is missing");
  ELBEAM_CHECK(it->second.shape == shape, ErrorCode::kModel, path(), ": tensor ", quoted(name, 200),
               ": the shape ", json(it->second.shape).dump(), ", expected ", json(shape).dump());
  return it->second;
}

// transformers' Conv1D stores [inputs, outputs], torch's Linear the other way round.
TensorView columns(const TensorView& weight, std::int64_t first, std::int64_t count) {
  TensorView view = weight;
  const std::int64_t offset = first * weight.strides.back();
  view.data += offset * archive::tensor_type_size(weight.type);
  if (weight.shape.size() == 1) {
    view.shape = {count};
  } else {
    view.shape = {count, weight.shape[0]};
    view.strides = {weight.strides[1], weight.strides[0]};
  }
  return view;
}

void Gpt2Checkpoint::linear(const std::string& from, const std::string& to, std::int64_t inputs,
                            std::int64_t outputs) {
  tensors_[to + ".weight"] = columns(original(from + ".weight", {inputs, outputs}), 0, outputs);
  tensors_[to + ".bias"] = original(from + ".bias", {outputs});
}

void Gpt2Checkpoint::attention(const std::string& from, const std::string& to) {
  const TensorView& weight = original(from + ".c_attn.weight", {width_, 3 * width_});
  const TensorView& bias = original(from + ".c_attn.bias", {3 * width_});
  std::int64_t first = 0;
  for (const char* part : {".q_proj", ".k_proj", ".v_proj"}) {
    tensors_[to + part + ".weight"] = columns(weight, first, width_);
    tensors_[to + part + ".bias"] = columns(bias, first, width_);
    first += width_;
  }
  linear(from + ".c_proj", to + ".out_proj", width_, width_);
}

void Gpt2Checkpoint::norm(const std::string& from, const std::string& to) {
  for (const char* part : {".weight", ".bias"})
    tensors_[to + part] = original(from + part, {width_});
}

void Gpt2Checkpoint::layer(std::int64_t index) {
  const std::string from = concat(prefix_, "h.", index);
  const std::string to = concat("decoder.layers.", index);
  const json inner = facts(*original_).value("n_inner", json());
  const std::int64_t hidden =
      inner.is_null() ? 4 * width_ : integer("n_inner", 1, limits::kMaxModelWidth * 4);
  norm(from + ".ln_1", to + ".self_attn_layer_norm");
  attention(from + ".attn", to + ".self_attn");
  norm(from + ".ln_2", to + ".final_layer_norm");
  linear(from + ".mlp.c_fc", to + ".fc1", width_, hidden);
  linear(from + ".mlp.c_proj", to + ".fc2", hidden, width_);
}

template <typename Source>
TensorView Gpt2Checkpoint::moved_rows(const TensorView& table, std::int64_t rows, Source&& source) {
  const std::int64_t row_bytes = table.shape[1] * archive::tensor_type_size(table.type);
  AlignedBuffer<std::byte>& buffer = moved_.emplace_back(checked_mul(rows, row_bytes));
  for (std::int64_t r = 0; r < rows; ++r) {
    std::byte* to = buffer.data() + r * row_bytes;
    const std::int64_t from = source(r);
    if (from < 0) {
      std::fill_n(to, row_bytes, std::byte{0});
    } else {
      std::copy_n(table.data + from * row_bytes, row_bytes, to);
    }
  }
  TensorView view = table;
  view.shape[0] = rows;
  view.data = buffer.data();
  return view;
}

// GPT-2's id of one of ours, or -1.
std::int64_t Gpt2Checkpoint::original_id(std::int64_t id) const {
  if (id >= kSpecials) return id - kSpecials + (id - kSpecials >= end_ ? 1 : 0);
  return id == 0 || id == 2 ? end_ : -1;
}

void Gpt2Checkpoint::vocabulary() {
  const std::int64_t size = vocab_ - 1 + kSpecials;
  const auto source = [this](std::int64_t id) { return original_id(id); };
  tensors_["decoder.embed_tokens.weight"] =
      moved_rows(original(prefix_ + "wte.weight", {vocab_, width_}), size, source);
  const auto output = original_->tensors().find("lm_head.weight");
  if (output != original_->tensors().end()) {
    tensors_["decoder.output_projection.weight"] =
        moved_rows(original("lm_head.weight", {vocab_, width_}), size, source);
  }
  output_bias_.reserve(size);
  std::fill_n(output_bias_.data(), size, 0.0F);
  for (const std::int64_t id : {0, 1, 3}) output_bias_.data()[id] = -HUGE_VALF;
  TensorView bias;
  bias.shape = {size};
  bias.strides = {1};
  bias.data = reinterpret_cast<const std::byte*>(output_bias_.data());
  tensors_["decoder.output_projection.bias"] = bias;
  dictionary_ = "<s>\n<pad>\n</s>\n<unk>\n";
  for (std::int64_t id = kSpecials; id < size; ++id)
    dictionary_ += std::to_string(original_id(id)) + "\n";
}

Gpt2Checkpoint::Gpt2Checkpoint(std::shared_ptr<const Checkpoint> original_checkpoint)
    : original_(std::move(original_checkpoint)) {
  read_config();
  prefix_ = original_->tensors().contains("transformer.wte.weight") ? "transformer." : "";
  vocabulary();
  tensors_["decoder.embed_positions.weight"] = moved_rows(
      original(prefix_ + "wpe.weight", {positions_, width_}), positions_ + kPositionOffset,
      [](std::int64_t row) { return row < kPositionOffset ? -1 : row - kPositionOffset; });
  for (std::int64_t i = 0; i < layers_; ++i) layer(i);
  ELBEAM_CHECK(!original_->tensors().contains(concat(prefix_, "h.", layers_, ".ln_1.weight")),
               ErrorCode::kModel, path(), ": more layers than n_layer = ", layers_,
               " of config.json");
  norm(prefix_ + "ln_f", "decoder.layer_norm");
  static constexpr float kVersion = 3.0F;
  TensorView version;
  version.shape = version.strides = {1};
  version.data = reinterpret_cast<const std::byte*>(&kVersion);
  tensors_["decoder.version"] = version;
}

}  // namespace

std::shared_ptr<const Checkpoint> gpt2_as_fairseq(std::shared_ptr<const Checkpoint> checkpoint) {
  return std::make_shared<const Gpt2Checkpoint>(std::move(checkpoint));
}

}  // namespace elbeam::model
