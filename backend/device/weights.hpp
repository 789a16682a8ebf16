// A Transformer's weights in the memory of a device, from a checkpoint's tensors.
#pragma once

#include "device/device.hpp"
#include "model/config.hpp"
#include "model/tensor_reader.hpp"

#include <optional>
#include <string>
#include <vector>

namespace elbeam::device {

using Reader = model::TensorReader<float>;

// y = x weight^T + bias; weight [outputs, inputs].
template <typename T>
struct Linear {
  Buffer<T> weight;
  Buffer<T> bias;  // data() is nullptr where there is none
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
};

template <typename T>
struct NormWeights {
  Buffer<T> gain;  // data() is nullptr where there is none
  Buffer<T> bias;
};

// One attention block in the forms that both ways of computing it read. Queries are scaled by
// 1 / sqrt(d_k). See attention/weights.hpp for EL-attention's: the key projection as it is expands
// queries, and the value bias is folded into the output's.
template <typename T>
struct AttentionWeights {
  Linear<T> query;
  Linear<T> key;
  Linear<T> value;
  Linear<T> fused;   // query, key, value in one product; self-attention only
  Linear<T> output;  // without bias, which is added with the residual
  Buffer<T> output_bias;
  Buffer<T> folded_output_bias;
};

template <typename T>
struct LayerWeights {
  AttentionWeights<T> self;
  NormWeights<T> self_norm;
  std::optional<AttentionWeights<T>> cross;
  NormWeights<T> cross_norm;
  Linear<T> fc1;
  Linear<T> fc2;
  NormWeights<T> final_norm;
};

// Encoder or decoder.
template <typename T>
struct StackWeights {
  std::int64_t dim = 0;
  std::int64_t heads = 0;
  std::int64_t vocab = 0;
  std::int64_t max_positions = 0;
  bool normalize_before = false;
  float embedding_scale = 1.0F;
  kernels::Activation activation = kernels::Activation::kRelu;
  Buffer<T> tokens;     // [vocab, dim]
  Buffer<T> positions;  // [max_positions, dim]; data() is nullptr where there are none
  NormWeights<T> embedding_norm;
  std::vector<LayerWeights<T>> layers;
  NormWeights<T> last_norm;
};

// side is "encoder" or "decoder"; encoder_dim is the width of what a decoder attends to, 0 where it
// attends to nothing. Positions go up to max_positions. Throws Error(kUnsupported) for a part that
// no device kernel computes, naming it, and kModel.
template <typename T>
StackWeights<T> load_stack(Device& device, Reader& reader, const model::TransformerConfig& config,
                           const std::string& side, std::int64_t encoder_dim);

template <typename T>
Linear<T> load_output(Device& device, Reader& reader, std::int64_t dim);

}  // namespace elbeam::device
