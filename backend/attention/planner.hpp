// Chooses between EL-attention and beam-shared multi-head attention for a batch.
#pragma once

#include "attention/weights.hpp"

#include <cstdint>

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

// Work and memory of cross-attention over a whole batch.
struct Cost {
  double seconds = 0.0;  // predicted, on one thread
  double cache_bytes = 0.0;
};

// The paper's three ways: K and V copied per beam (what plain fairseq does), K and V shared by the
// beams, hidden states alone.
double cross_cache_bytes_copied(const Shape& shape, std::int64_t element_bytes);
Cost predict_cross_mha(const Shape& shape, std::int64_t element_bytes);
Cost predict_cross_el(const Shape& shape, std::int64_t element_bytes);

// The cheaper of the two in predicted seconds.
Kind plan_cross(const Shape& shape, std::int64_t element_bytes);

}  // namespace elbeam::attention
