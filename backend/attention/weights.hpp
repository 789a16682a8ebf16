// The projections of one attention block, in the forms that the two ways of computing it need.
#pragma once

#include "base/shared_array.hpp"
#include "kernels/packed_matrix.hpp"
#include "kernels/weight_store.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace elbeam::attention {

enum class Kind { kMha, kEl };

const char* kind_name(Kind kind) noexcept;

// Row-major source weights as fairseq stores them.
template <typename T>
struct Projection {
  std::function<SharedArray<T>()> weight;  // reads [outputs, inputs], each time it is needed
  std::span<const T> bias;                 // empty: none
};

// What a block is built from. What the spans and functions use has to live as long as the Weights.
template <typename T>
struct Source {
  Projection<T> q, k, v, out;
  std::int64_t heads = 0;
  std::int64_t dim = 0;      // d: width of the decoder and of q, k, v
  std::int64_t key_dim = 0;  // width of what is attended to; d for self-attention
  kernels::Storage storage = kernels::Storage::kSame;  // of the packed projections
  std::string name = {};                               // in front of the store's names
  std::shared_ptr<kernels::WeightStore<T>> store = std::make_shared<kernels::WeightStore<T>>();
};

// Multi-head attention computes keys and values of every source position (k_proj, v_proj packed).
// EL-attention expands the query instead (el_attention.md; Yan et al., ICML 2021): it needs the
// slices W_K_i [d_k, key_dim] as they lie in k_proj, W_V_i packed per head, and the value bias
// folded into the output bias, which is exact because the attention weights sum to one. The key
// bias adds the same number to every score of a row and cancels in the softmax.
template <typename T>
class Weights {
 public:
  explicit Weights(const Source<T>& source);

  std::int64_t heads() const noexcept { return source_.heads; }
  std::int64_t dim() const noexcept { return source_.dim; }
  std::int64_t key_dim() const noexcept { return source_.key_dim; }
  std::int64_t head_dim() const noexcept { return source_.dim / source_.heads; }

  // Packs what the kind needs, once. Not thread-safe: callers serialise it (TransformerModel does).
  void prepare(Kind kind);
  // For fused self-attention: q, k and v in one product of 3 d columns.
  void prepare_fused_qkv();

  const kernels::PackedMatrix<T>& query() const noexcept { return query_; }
  const T* query_bias() const noexcept { return query_bias_.data(); }
  const kernels::PackedMatrix<T>& output() const noexcept { return output_; }
  const T* output_bias() const noexcept { return pointer(source_.out.bias); }

  const kernels::PackedMatrix<T>& key() const noexcept { return key_; }
  const T* key_bias() const noexcept { return pointer(source_.k.bias); }
  const kernels::PackedMatrix<T>& value() const noexcept { return value_; }
  const T* value_bias() const noexcept { return pointer(source_.v.bias); }
  const kernels::PackedMatrix<T>& fused_qkv() const noexcept { return fused_qkv_; }
  const T* fused_qkv_bias() const noexcept { return fused_qkv_bias_.data(); }

  const T* key_slice(std::int64_t head) const noexcept {  // W_K_i [d_k, key_dim]
    return key_weight_.values.data() + head * head_dim() * key_dim();
  }
  const kernels::PackedMatrix<T>& value_slice(std::int64_t head) const {
    return value_slices_[static_cast<std::size_t>(head)];
  }
  const T* folded_output_bias() const noexcept { return folded_output_bias_.values.data(); }

 private:
  static const T* pointer(std::span<const T> span) { return span.empty() ? nullptr : span.data(); }
  SharedArray<T> read(const Projection<T>& projection, std::int64_t outputs,
                      std::int64_t inputs) const;
  kernels::PackedMatrix<T> pack(const char* name, const Projection<T>& projection,
                                std::int64_t inputs) const;
  std::vector<T> scaled_query_weight() const;
  SharedArray<T> fold_output_bias() const;

  Source<T> source_;
  std::vector<T> query_bias_;  // scaled by 1 / sqrt(d_k), zeros where the model has none
  kernels::PackedMatrix<T> query_, output_, key_, value_, fused_qkv_;
  std::vector<T> fused_qkv_bias_;
  std::vector<kernels::PackedMatrix<T>> value_slices_;
  SharedArray<T> key_weight_;
  SharedArray<T> folded_output_bias_;
};

}  // namespace elbeam::attention
