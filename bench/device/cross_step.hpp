// The attention to the source in one decode step, all layers, as DecodeRun launches it: over random
// numbers, for measuring.
#pragma once

#include "device/device.hpp"

#include <memory>

namespace elbeam::bench {

struct StepShape {
  int sentences = 1;
  int beam = 1;
  int source = 1;  // tokens of every sentence
  int heads = 1;
  int dim = 1;
  int layers = 1;
};

enum class CrossKind {
  kCopied,  // multi-head attention, keys and values of a sentence copied for every beam
  kShared,  // the same, one copy that the beams of a sentence read together
  kEl,      // fused EL-attention: one copy of the hidden states for all beams, heads and layers
};

// Normal random numbers, a block of them again and again: a device that multiplies zeros takes less
// power and is faster than it would be.
template <typename T>
void fill(device::Device& device, const device::Buffer<T>& buffer, float deviation);

class CrossStep {
 public:
  virtual ~CrossStep() = default;
  virtual void attention() = 0;    // of all layers
  virtual void projections() = 0;  // what EL adds: queries expanded, results projected, all layers
  virtual double bytes() const = 0;  // of keys and values or hidden states, each read once a layer
  virtual double flops() const = 0;  // of both products
};

// Throws Error(kOutOfMemory) where the device does not hold the shape.
template <typename T>
std::unique_ptr<CrossStep> make_cross_step(device::Device& device, const StepShape& shape,
                                           CrossKind kind);

}  // namespace elbeam::bench
