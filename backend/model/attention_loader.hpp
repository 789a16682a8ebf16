// Reads the projections of one attention block.
#pragma once

#include "attention/weights.hpp"
#include "model/tensor_reader.hpp"

#include <cstdint>
#include <string>

namespace elbeam::model {

struct AttentionShape {
  std::int64_t heads = 0;
  std::int64_t dim = 0;
  std::int64_t key_dim = 0;
};

// prefix is e.g. "decoder.layers.0.encoder_attn". Also takes the joined in_proj_weight of
// checkpoints from before q, k and v were split. Throws Error(kModel).
template <typename T>
attention::Source<T> attention_source(TensorReader<T>& reader, const std::string& prefix,
                                      const AttentionShape& shape);
template <typename T>
attention::Weights<T> load_attention(TensorReader<T>& reader, const std::string& prefix,
                                     const AttentionShape& shape);

}  // namespace elbeam::model
