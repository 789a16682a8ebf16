// What encoder and decoder layers have in common on a device.
#pragma once

#include "device/weights.hpp"

#include <cstdint>
#include <functional>

namespace elbeam::device {

// Activations of up to `rows` rows.
template <typename T>
struct Activations {
  Activations(Device& device, const StackWeights<T>& stack, std::int64_t row_count);

  std::int64_t rows;
  Buffer<T> x;           // [rows, dim] the residual stream
  Buffer<T> normalised;  // [rows, dim]
  Buffer<T> branch;      // [rows, dim] what a block adds to it
  Buffer<T> projected;   // [rows, 3 dim]
  Buffer<T> context;     // [rows, dim]
  Buffer<T> hidden;      // [rows, feed-forward width]
};

// A launch of attention to tokens that lie one after another.
struct TokenLaunch {
  std::int64_t ranges = 0;
  std::int64_t rows = 1;   // most that one group has
  std::int64_t heads = 1;  // multi-head: of blocks; EL-attention has them as rows
  bool el = false;
  bool causal = false;
};

// Rows first, first + 1, ... of a step or pass.
struct RowSlice {
  std::int64_t first = 0;
  std::int64_t rows = 0;
};

// Rows of EL-attention, and how many of them have their expanded queries and pooled states, [slice,
// heads, key width], at the same time.
template <typename T>
struct ElRows {
  std::int64_t rows = 0;
  std::int64_t slice = 0;
  T* expanded = nullptr;
  T* pooled = nullptr;
};

// Runs blocks over rows. Pre-norm blocks read LayerNorm(x), post-norm blocks read x and are
// normalised afterwards (fairseq/modules/transformer_layer.py); a block is closed by one kernel,
// which adds bias and residual and does the LayerNorm that comes next.
template <typename T>
class Layers {
 public:
  Layers(Device& device, const StackWeights<T>& stack) : device_(device), stack_(stack) {}

  Device& device() const noexcept { return device_; }
  const StackWeights<T>& stack() const noexcept { return stack_; }

  // x of the first block from tokens.
  void embed(const Activations<T>& a, kernels::EmbedArgs<T> args, std::int64_t rows) const;
  // What a block reads.
  const T* input(const Activations<T>& a) const {
    return stack_.normalize_before ? a.normalised.data() : a.x.data();
  }
  // Adds a.branch + bias to x. own: the block's LayerNorm; next: that of the block that follows.
  void close_block(const Activations<T>& a, std::int64_t rows, const Buffer<T>& bias,
                   const NormWeights<T>& own, const NormWeights<T>& next) const;
  // a.branch = fc2(activation(fc1(input))).
  void feed_forward(const Activations<T>& a, std::int64_t rows, const LayerWeights<T>& layer) const;
  // y [rows, outputs] with stride ldy = x w^T + bias.
  void linear(const T* x, std::int64_t rows, const Linear<T>& w, T* y, std::int64_t ldy) const;
  // args without what a plan says: chunks, row_blocks, tile_keys.
  void attend(kernels::ContiguousArgs<T> args, const TokenLaunch& how) const;
  kernels::AttentionPlan plan_attention(const kernels::ContiguousArgs<T>& args,
                                        const TokenLaunch& how) const;
  // A slice of EL-attention over rows of `width` numbers, which `plan` attends with.
  std::int64_t slice_rows(const kernels::AttentionPlan& plan, std::int64_t rows,
                          std::int64_t group_rows, std::int64_t width) const;
  // EL-attention: input(a) becomes queries, a slice of them is expanded, attend(slice) pools what
  // they find, and this becomes a.context.
  void attend_expanded(const Activations<T>& a, const AttentionWeights<T>& w, const ElRows<T>& rows,
                       const std::function<void(const RowSlice&)>& attend) const;
  // LayerNorm of the first block of layer i; behind the last layer that of the stack.
  const NormWeights<T>& first_norm(std::size_t layer) const {
    return layer < stack_.layers.size() ? stack_.layers[layer].self_norm : stack_.last_norm;
  }
  // What the layers computed: x, normalised where the model does that.
  const T* result(const Activations<T>& a) const {
    return stack_.last_norm.gain.data() != nullptr ? a.normalised.data() : a.x.data();
  }

 private:
  void expand_queries(const T* queries, const AttentionWeights<T>& w, std::int64_t rows,
                      T* expanded) const;
  void project_pooled(const T* pooled, const AttentionWeights<T>& w, std::int64_t rows,
                      T* context) const;

  Device& device_;
  const StackWeights<T>& stack_;
};

// A launch over `rows` blocks.
kernels::Launch row_launch(const Device& device, std::int64_t rows, int threads, int shared_bytes);
int row_threads(std::int64_t dim);

// int32 for the device: sizes have been checked to fit when the batch was planned.
std::int32_t narrow(std::int64_t value);

}  // namespace elbeam::device
