// The attention to the source along every hypothesis of a batch: fairseq's `attn` buffer, kept once
// per row of the model instead of being copied with every choice of the beam.
#pragma once

#include "search/ancestry.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::search {

class AttentionHistory {
 public:
  // width: floats that the model gives per row.
  explicit AttentionHistory(std::int64_t width) : width_(width) {}

  // Opens a step: where the model writes the attention of its rows, [rows, width]. Valid until the
  // next call.
  std::span<float> add_step(std::int64_t rows);

  // Must be told of every Ancestry node, in order: which model row of this step it was made from.
  void extend(std::int64_t model_row) { node_rows_.push_back(step_begin_ + model_row); }

  // Attention of the hypothesis that ends in this step from `model_row`, whose history is `node`:
  // one column of source_length for each token, the last (eos) included.
  std::vector<std::vector<float>> columns(const Ancestry& ancestry, Ancestry::Node node,
                                          std::int64_t model_row, std::int64_t source_length) const;

 private:
  std::int64_t width_;
  std::int64_t step_begin_ = 0;          // row of values_ where the current step begins
  std::vector<float> values_;            // [rows of all steps, width_]
  std::vector<std::int64_t> node_rows_;  // [nodes] row of values_
};

}  // namespace elbeam::search
