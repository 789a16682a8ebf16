#include "attention/weights.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

namespace elbeam::attention {

const char* kind_name(Kind kind) noexcept { return kind == Kind::kEl ? "el" : "mha"; }

template <typename T>
Weights<T>::Weights(const Source<T>& source) : source_(source) {
  ELBEAM_INVARIANT(source.heads > 0 && source.dim % source.heads == 0);
  output_ = pack(".out_proj", source.out, source.dim);
  const T scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(head_dim())));
  query_bias_.assign(usize(dim()), T{0});
  for (std::size_t i = 0; i < source.q.bias.size(); ++i) query_bias_[i] = source.q.bias[i] * scale;
}

template <typename T>
SharedArray<T> Weights<T>::read(const Projection<T>& projection, std::int64_t outputs,
                                std::int64_t inputs) const {
  SharedArray<T> weight = projection.weight();
  ELBEAM_INVARIANT(ssize(weight.values.size()) == outputs * inputs);
  return weight;
}

template <typename T>
kernels::PackedMatrix<T> Weights<T>::pack(const char* name, const Projection<T>& projection,
                                          std::int64_t inputs) const {
  return source_.store->matrix(source_.name + name, {dim(), inputs}, [&] {
    const SharedArray<T> weight = read(projection, dim(), inputs);
    return kernels::PackedMatrix<T>(weight.values.data(), inputs, dim(), inputs, source_.storage);
  });
}

template <typename T>
std::vector<T> Weights<T>::scaled_query_weight() const {
  const T scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(head_dim())));
  const SharedArray<T> weight = read(source_.q, dim(), dim());
  std::vector<T> scaled(weight.values.begin(), weight.values.end());
  for (T& value : scaled) value *= scale;
  return scaled;
}

template <typename T>
void Weights<T>::prepare(Kind kind) {
  const std::int64_t d = dim();
  if (query_.outputs() == 0) {
    query_ = source_.store->matrix(source_.name + ".q_proj.scaled", {d, d}, [&] {
      return kernels::PackedMatrix<T>(scaled_query_weight().data(), d, d, d, source_.storage);
    });
  }
  if (kind == Kind::kMha) {
    if (key_.outputs() != 0) return;
    key_ = pack(".k_proj", source_.k, key_dim());
    value_ = pack(".v_proj", source_.v, key_dim());
    return;
  }
  if (!value_slices_.empty()) return;
  key_weight_ = source_.store->array(source_.name + ".k_proj", d * key_dim(),
                                     [&] { return read(source_.k, d, key_dim()); });
  SharedArray<T> value_weight;  // read once for all heads, if at all
  for (std::int64_t head = 0; head < heads(); ++head) {
    const std::string name = concat(source_.name, ".v_proj.", head);
    value_slices_.push_back(source_.store->matrix(name, {head_dim(), key_dim()}, [&] {
      if (value_weight.values.empty()) value_weight = read(source_.v, d, key_dim());
      return kernels::PackedMatrix<T>(value_weight.values.data() + head * head_dim() * key_dim(),
                                      key_dim(), head_dim(), key_dim());
    }));
  }
  folded_output_bias_ = source_.store->array(source_.name + ".out_proj.folded_bias", d,
                                             [&] { return fold_output_bias(); });
}

template <typename T>
SharedArray<T> Weights<T>::fold_output_bias() const {
  const std::int64_t d = dim();
  const auto folded = std::make_shared<std::vector<T>>(usize(d), T{0});
  std::copy(source_.out.bias.begin(), source_.out.bias.end(), folded->begin());
  if (source_.v.bias.empty()) return {*folded, folded};
  const SharedArray<T> weight = read(source_.out, d, d);
  for (std::int64_t row = 0; row < d; ++row) {
    double sum = 0.0;
    for (std::int64_t column = 0; column < d; ++column) {
      sum += static_cast<double>(weight.values[usize(row * d + column)]) *
             static_cast<double>(source_.v.bias[usize(column)]);
    }
    (*folded)[usize(row)] += static_cast<T>(sum);
  }
  return {*folded, folded};
}

template <typename T>
void Weights<T>::prepare_fused_qkv() {
  if (fused_qkv_.outputs() != 0) return;
  const std::int64_t d = dim();
  ELBEAM_INVARIANT(key_dim() == d);
  fused_qkv_ = source_.store->matrix(source_.name + ".qkv", {3 * d, d}, [&] {
    std::vector<T> joined = scaled_query_weight();
    for (const Projection<T>* part : {&source_.k, &source_.v}) {
      const SharedArray<T> weight = read(*part, d, d);
      joined.insert(joined.end(), weight.values.begin(), weight.values.end());
    }
    return kernels::PackedMatrix<T>(joined.data(), d, 3 * d, d, source_.storage);
  });
  fused_qkv_bias_.assign(usize(3 * d), T{0});
  std::copy(query_bias_.begin(), query_bias_.end(), fused_qkv_bias_.begin());
  std::copy(source_.k.bias.begin(), source_.k.bias.end(), fused_qkv_bias_.begin() + d);
  std::copy(source_.v.bias.begin(), source_.v.bias.end(), fused_qkv_bias_.begin() + 2 * d);
}

template class Weights<float>;
template class Weights<double>;

}  // namespace elbeam::attention
