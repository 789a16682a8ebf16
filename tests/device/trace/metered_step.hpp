// A decoder with random weights on the emulated device, in the middle of a decode: for the tests of
// what a whole step does.
#pragma once

#include "device/decode_run.hpp"
#include "device/device_array.hpp"
#include "device/emulated_device.hpp"
#include "device/forwarding_device.hpp"
#include "device/trace/tracer.hpp"
#include "kernels/emulated/machine.hpp"

#include <numeric>
#include <utility>

namespace elbeam::device {

using attention::Kind;
using kernels::Half;
using kernels::emulated::Tracer;
using kernels::emulated::Traffic;
using kernels::emulated::TrafficMeter;

struct StepShape {
  std::int64_t sentences = 32;
  std::int64_t beam = 4;
  std::int64_t source = 48;
  std::int64_t steps = 18;  // that each hypothesis has behind it, this one included
  std::int64_t dim = 128;
  std::int64_t heads = 16;
  std::int64_t layers = 2;
  std::int64_t vocab = 200;
  std::int64_t hidden = 512;  // of the feed-forward network
  bool prompts = false;       // that are read before the first step
  Kind self_kind = Kind::kEl;
  Kind cross_kind = Kind::kEl;
  int like = 80;  // whose kernels are taken
  // Of the second-level cache, as the device says: what its slices of the rows are made for.
  std::int64_t cache_bytes = 0;

  std::int64_t rows() const { return sentences * beam; }
  std::int64_t hidden_bytes() const { return sentences * source * dim * kBytes; }
  // What a step has to read: the hidden states and the hypotheses' own states once for each layer,
  // and the weights once.
  std::int64_t cross_floor() const { return layers * hidden_bytes(); }
  std::int64_t self_floor() const { return layers * rows() * steps * dim * kBytes; }
  static constexpr std::int64_t kBytes = 2;
};

// The emulated device, with products counted and arrays named by what they are for.
class MeteredDevice : public ForwardingDevice {
 public:
  explicit MeteredDevice(const StepShape& shape)
      : ForwardingDevice(make_emulated_device(shape.like, shape.cache_bytes)) {}

  std::string purpose = "activations";
  std::int64_t allocated(const std::string& name) const { return bytes_.at(name); }

  void* allocate(std::int64_t bytes) override {
    void* memory = ForwardingDevice::allocate(bytes);
    Tracer::instance().traffic.name_array(memory, bytes, purpose);
    bytes_[purpose] += bytes;
    return memory;
  }
  using ForwardingDevice::multiply;
  // The library's products are not traced: each operand counts once.
  void multiply(const Product<Half>& product) override {
    TrafficMeter& meter = Tracer::instance().traffic;
    const auto move = [&](const Half* first, std::int64_t rows, std::int64_t ld,
                          std::int64_t columns, bool writes) {
      for (std::int64_t r = 0; r < rows; ++r)
        meter.move("products", first + r * ld, columns * StepShape::kBytes, writes);
    };
    for (std::int64_t i = 0; i < product.batch; ++i) {
      move(product.a + i * product.a_step, product.m, product.lda, product.k, false);
      const std::int64_t b_rows = product.transposed ? product.n : product.k;
      const std::int64_t b_columns = product.transposed ? product.k : product.n;
      move(product.b + i * product.b_step, b_rows, product.ldb, b_columns, false);
      move(product.c + i * product.c_step, product.m, product.ldc, product.n, true);
    }
    ForwardingDevice::multiply(product);
  }

 private:
  std::map<std::string, std::int64_t> bytes_;
};

class WeightsMaker {
 public:
  explicit WeightsMaker(Device& device) : device_(device) {}

  StackWeights<Half> stack(const StepShape& shape) {
    StackWeights<Half> stack;
    stack.dim = shape.dim;
    stack.heads = shape.heads;
    stack.vocab = shape.vocab;
    stack.max_positions = shape.steps + 1;
    stack.tokens = numbers(shape.vocab * shape.dim);
    stack.positions = numbers(stack.max_positions * shape.dim);
    stack.embedding_norm = norm(shape.dim);
    for (std::int64_t l = 0; l < shape.layers; ++l) {
      LayerWeights<Half> layer;
      layer.self = attention(shape.dim);
      if (shape.self_kind == Kind::kMha || shape.prompts)
        layer.self.fused = linear(3 * shape.dim, shape.dim);
      layer.cross = attention(shape.dim);
      layer.self_norm = norm(shape.dim);
      layer.cross_norm = norm(shape.dim);
      layer.final_norm = norm(shape.dim);
      layer.fc1 = linear(shape.hidden, shape.dim);
      layer.fc2 = linear(shape.dim, shape.hidden);
      stack.layers.push_back(std::move(layer));
    }
    return stack;
  }
  Linear<Half> linear(std::int64_t outputs, std::int64_t inputs) {
    return {numbers(outputs * inputs), numbers(outputs), outputs, inputs};
  }
  Buffer<Half> numbers(std::int64_t count) {
    const auto host = kernels::random_numbers<Half>(random_, usize(count), 0.1F);
    return {device_, std::span<const Half>(host)};
  }

 private:
  NormWeights<Half> norm(std::int64_t dim) { return {numbers(dim), numbers(dim)}; }
  AttentionWeights<Half> attention(std::int64_t dim) {
    AttentionWeights<Half> w;
    for (auto* each : {&w.query, &w.key, &w.value, &w.output}) *each = linear(dim, dim);
    w.output_bias = numbers(dim);
    w.folded_output_bias = numbers(dim);
    return w;
  }

  Device& device_;
  std::mt19937 random_{41};
};

struct MeteredModel {
  explicit MeteredModel(const StepShape& shape) : device(shape) {
    Tracer::instance().traffic.clear();
    device.purpose = "weights";
    WeightsMaker maker(device);
    stack = maker.stack(shape);
    output = maker.linear(shape.vocab, shape.dim);
    device.purpose = "activations";
  }
  // Sentences of `lengths` tokens, with room for so many times these.
  DecodeRun<Half> run(const StepShape& shape, const std::vector<std::int64_t>& lengths,
                      std::int64_t room = 1) {
    SourceShape source{shape.sentences, 0, 0, shape.beam, shape.cross_kind, shape.dim};
    std::vector<SourceAt> sentences;
    std::vector<PlacedSentence> placed;
    for (const std::int64_t length : lengths) {
      sentences.push_back({ssize(sentences.size()), source.tokens, length});
      placed.push_back({sentences.back(), sentences.back().sentence});
      source.tokens += length;
      source.longest = std::max(source.longest, length);
    }
    source.tokens *= room;
    Sources<Half> sources(Layers<Half>(device, stack), source);
    Tracer::instance().traffic.name_array(
        sources.hidden(), source.tokens * shape.dim * StepShape::kBytes, "hidden states");
    put(sources, sentences);
    sources.place(placed);
    return DecodeRun<Half>(
        Layers<Half>(device, stack), output,
        {shape.sentences, shape.beam, shape.steps, shape.self_kind, shape.cross_kind, 0, 0},
        std::move(sources));
  }
  // Random states in place of an encoder's.
  void put(Sources<Half>& sources, std::span<const SourceAt> sentences) {
    std::int64_t tokens = 0;
    for (const SourceAt& each : sentences) tokens += each.tokens;
    const Buffer<Half> states = WeightsMaker(device).numbers(tokens * sources.dim());
    sources.put(sentences, states.data());
  }

  MeteredDevice device;
  StackWeights<Half> stack;
  Linear<Half> output;
};

// Every hypothesis has slots of its own from the first step to the last.
class MeteredStep {
 public:
  explicit MeteredStep(const StepShape& shape)
      : shape_(shape),
        model_(shape),
        run_(model_.run(shape, std::vector<std::int64_t>(usize(shape.sentences), shape.source))) {
    model_.device.purpose = "self cache";
    for (std::int64_t t = 0; t < shape.steps; ++t) run_.open_step(t);
    set_state();
  }

  // The last step, with a second-level cache of so many bytes.
  void launch(std::int64_t cache_bytes) {
    tracer_.traffic.set_cache(cache_bytes);
    tracer_.measure_traffic = true;
    tracer_.start();
    run_.launch_step(shape_.rows(), shape_.beam);
    tracer_.stop();
    tracer_.measure_traffic = false;
  }
  std::int64_t weight_bytes() const { return model_.device.allocated("weights"); }

 private:
  void set_state() {
    const auto& rows = run_.rows();
    const auto beam = narrow(shape_.beam);
    std::vector<std::int32_t> identity(usize(shape_.rows()));
    std::iota(identity.begin(), identity.end(), 0);
    std::vector<std::int32_t> ancestors;
    for (const std::int32_t row : identity)
      ancestors.insert(ancestors.end(), usize(rows.ancestor_stride), row);
    std::vector<kernels::RowRange> rows_of;
    for (std::int32_t s = 0; s < narrow(shape_.sentences); ++s) rows_of.push_back({s * beam, beam});
    const auto put = [&](const auto& buffer, const auto& host) {
      model_.device.upload(buffer.data(), host.data(), ssize(host.size()) * ssize(sizeof host[0]));
    };
    put(rows.state,
        std::vector<kernels::StepState>{
            {narrow(shape_.steps - 1), narrow(shape_.sentences), narrow(shape_.rows()), beam}});
    put(rows.parents, identity);
    put(rows.tokens, std::vector<std::int32_t>(usize(shape_.rows()), 7));
    put(rows.rows_of, rows_of);
    put(rows.ancestors[0], ancestors);
    put(rows.ancestors[1], ancestors);
    put(rows.parts_of_row, std::vector<std::int32_t>(usize(shape_.rows()), 1));
  }

  StepShape shape_;
  Tracer& tracer_ = Tracer::instance();
  MeteredModel model_;
  DecodeRun<Half> run_;
};

}  // namespace elbeam::device
