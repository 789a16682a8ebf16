// Chooses between EL-attention and beam-shared multi-head attention for a batch.
#pragma once

#include "attention/weights.hpp"

#include <cstdint>
#include <span>

namespace elbeam::attention {

// One batch as the planner sees it.
struct Shape {
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t dim = 0;            // d
  std::int64_t key_dim = 0;        // width of the encoder output
  std::int64_t beam = 1;           // n
  std::int64_t source_tokens = 0;  // S summed over the batch's sentences
  std::int64_t sentences = 0;
  std::int64_t expected_steps = 0;  // T
};

// What one core can do at most. The default was measured on one core of an AMD EPYC (Zen 4,
// AVX-512, fp32); a choice depends on the quotient alone. elbeam-attention-bench measures its own
// machine.
struct Machine {
  double flops = 117e9;            // a second; a multiply-add counts twice
  double bytes_per_second = 30e9;  // read from memory
};

// Cross-attention over a whole batch, projections included.
struct Cost {
  double seconds = 0.0;  // predicted, on one thread
  double cache_bytes = 0.0;
};

// The paper's three ways: hidden states alone, K and V shared by the beams, K and V copied for each
// beam (what plain fairseq does). The last one's cost is that of sharing with beams that are
// sentences of their own.
Cost predict_cross_el(const Shape& shape, std::int64_t element_bytes, const Machine& machine = {});
Cost predict_cross_mha(const Shape& shape, std::int64_t element_bytes, const Machine& machine = {});
Shape copied(const Shape& shape);

// The cheaper of the two in predicted seconds.
Kind plan_cross(const Shape& shape, std::int64_t element_bytes);

// Bytes of the caches of a batch, as they are allocated.
struct BatchMemory {
  Kind cross_kind = Kind::kMha;
  std::int64_t cross_bytes = 0;  // with what they are built from
  std::int64_t self_bytes = 0;   // at most
  std::int64_t total() const;    // throws Error(kLimit)
};

// What memory is planned for.
struct MemoryRequest {
  Shape shape;
  std::span<const std::int64_t> source_lengths;
  Kind self_kind = Kind::kMha;
  std::int64_t max_steps = 1;
  std::int64_t element_bytes = 4;
  std::int64_t lanes = 1;  // keys are padded to whole vectors
};

// The memory with a given kind of cross-attention; exact for it, an upper bound for
// self-attention. Throws Error(kLimit) where a number is too large.
BatchMemory batch_memory(const MemoryRequest& request, Kind cross_kind);

// The kind that plan_cross() takes, or EL where multi-head attention's caches are above the limit
// (0: none) and EL's are smaller.
BatchMemory plan_batch(const MemoryRequest& request, std::int64_t limit);

}  // namespace elbeam::attention
