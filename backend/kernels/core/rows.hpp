// What a step does to each row between its products: embedding, LayerNorm, activation, softmax.
#pragma once

#include "kernels/core/args.hpp"
#include "kernels/core/device.hpp"

namespace elbeam::kernels {

// LayerNorm of a row in shared memory, with torch's epsilon; the variance is taken around the mean
// in a second pass, which keeps it exact for rows far from 0.
template <typename T>
ELBEAM_DEVICE void normalise_row(const float* row, int dim, const T* gain, const T* bias, T* out,
                                 float* scratch) {
  constexpr float kEpsilon = 1e-5F;
  float sum = 0.0F;
  for (int c = thread_index(); c < dim; c += thread_count()) sum += row[c];
  const float mean = block_sum(sum, scratch) / static_cast<float>(dim);
  float squares = 0.0F;
  for (int c = thread_index(); c < dim; c += thread_count())
    squares += (row[c] - mean) * (row[c] - mean);
  const float variance = block_sum(squares, scratch) / static_cast<float>(dim);
  const float factor = 1.0F / sqrtf(variance + kEpsilon);
  for (int c = thread_index(); c < dim; c += thread_count()) {
    out[c] = from_float<T>((row[c] - mean) * factor * to_float(gain[c]) + to_float(bias[c]));
  }
}

template <typename T>
struct Embed {
  using Args = EmbedArgs<T>;
  static constexpr const char* kName = "embed";
  static constexpr int kMaxThreads = 256;
  static constexpr int kMinBlocks = 4;

  static ELBEAM_DEVICE void run(const Args& args) {
    const int row = block_x();
    if (args.state != nullptr && row >= args.state->rows) return;
    const int dim = args.dim;
    int position = args.position_of != nullptr ? args.position_of[row] : 0;
    if (args.state != nullptr) position += args.state->step;
    const T* token = args.token_table + static_cast<std::int64_t>(args.tokens[row]) * dim;
    const T* place = args.position_table == nullptr
                         ? nullptr
                         : args.position_table + static_cast<std::int64_t>(position) * dim;
    T* out = args.x + static_cast<std::int64_t>(row) * dim;
    auto* values = reinterpret_cast<float*>(shared_memory());
    for (int c = thread_index(); c < dim; c += thread_count()) {
      float value = args.scale * to_float(token[c]);
      if (place != nullptr) value += to_float(place[c]);
      values[c] = value;
      if (args.gain == nullptr) out[c] = from_float<T>(value);
    }
    if (args.gain != nullptr) normalise_row(values, dim, args.gain, args.bias, out, values + dim);
  }
};

template <typename T>
struct Norm {
  using Args = NormArgs<T>;
  static constexpr const char* kName = "norm";
  static constexpr int kMaxThreads = 256;
  static constexpr int kMinBlocks = 4;

  static ELBEAM_DEVICE void run(const Args& args) {
    const int dim = args.dim;
    const std::int64_t first = static_cast<std::int64_t>(block_x()) * dim;
    auto* values = reinterpret_cast<float*>(shared_memory());
    for (int c = thread_index(); c < dim; c += thread_count()) {
      float value = to_float(args.x[first + c]);
      if (args.bias != nullptr) value += to_float(args.bias[c]);
      if (args.residual != nullptr) value += to_float(args.residual[first + c]);
      if (args.sum != nullptr) args.sum[first + c] = from_float<T>(value);
      values[c] = value;
    }
    if (args.gain != nullptr)
      normalise_row(values, dim, args.gain, args.norm_bias, args.normalised + first, values + dim);
  }
};

// fairseq/utils.py get_activation_fn: gelu is the exact form, gelu_accurate the tanh form.
ELBEAM_DEVICE float activate(Activation kind, float x) {
  switch (kind) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return x > 0.0F ? x : (x == x ? 0.0F : x);
    case Activation::kGelu:
      return x * 0.5F * (1.0F + erff(x * 0.707106781F));
    case Activation::kGeluAccurate:
      return x * 0.5F * (1.0F + tanhf((x + x * x * x * 0.044715F) * 0.797884561F));
    case Activation::kTanh:
      return tanhf(x);
    case Activation::kSwish:
      return x / (1.0F + expf(-x));
  }
  return x;
}

template <typename T>
struct Activate {
  using Args = ActivationArgs<T>;
  static constexpr const char* kName = "activate";
  static constexpr int kMaxThreads = 256;
  static constexpr int kMinBlocks = 4;

  static ELBEAM_DEVICE void run(const Args& args) {
    const std::int64_t row = block_x();
    if (row >= args.rows) return;
    T* x = args.x + row * args.dim;
    for (int c = thread_index(); c < args.dim; c += thread_count()) {
      const float bias = args.bias == nullptr ? 0.0F : to_float(args.bias[c]);
      x[c] = from_float<T>(activate(args.activation, to_float(x[c]) + bias));
    }
  }
};

}  // namespace elbeam::kernels
