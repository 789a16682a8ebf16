#include "attention/weights.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cmath>

namespace elbeam::attention {

const char* kind_name(Kind kind) noexcept { return kind == Kind::kEl ? "el" : "mha"; }

template <typename T>
Weights<T>::Weights(const Source<T>& source) : source_(source) {
  const std::int64_t d = source.dim;
  const std::int64_t dk = source.key_dim;
  ELBEAM_INVARIANT(source.heads > 0 && d % source.heads == 0);
  ELBEAM_INVARIANT(ssize(source.q.weight.size()) == d * d &&
                   ssize(source.k.weight.size()) == d * dk);
  ELBEAM_INVARIANT(ssize(source.v.weight.size()) == d * dk &&
                   ssize(source.out.weight.size()) == d * d);
  output_ = kernels::PackedMatrix<T>(source.out.weight.data(), d, d, d, source.storage);
  const T scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(head_dim())));
  query_bias_.assign(usize(d), T{0});
  for (std::size_t i = 0; i < source.q.bias.size(); ++i) query_bias_[i] = source.q.bias[i] * scale;
}

template <typename T>
std::vector<T> Weights<T>::scaled_query_weight() const {
  const T scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(head_dim())));
  std::vector<T> scaled(source_.q.weight.begin(), source_.q.weight.end());
  for (T& value : scaled) value *= scale;
  return scaled;
}

template <typename T>
void Weights<T>::prepare(Kind kind) {
  const std::int64_t d = dim();
  if (query_.outputs() == 0)
    query_ = kernels::PackedMatrix<T>(scaled_query_weight().data(), d, d, d, source_.storage);
  if (kind == Kind::kMha) {
    if (key_.outputs() != 0) return;
    key_ =
        kernels::PackedMatrix<T>(source_.k.weight.data(), key_dim(), d, key_dim(), source_.storage);
    value_ =
        kernels::PackedMatrix<T>(source_.v.weight.data(), key_dim(), d, key_dim(), source_.storage);
    return;
  }
  if (!value_slices_.empty()) return;
  for (std::int64_t head = 0; head < heads(); ++head) {
    value_slices_.emplace_back(source_.v.weight.data() + head * head_dim() * key_dim(), key_dim(),
                               head_dim(), key_dim());
  }
  folded_output_bias_.assign(usize(d), T{0});
  std::copy(source_.out.bias.begin(), source_.out.bias.end(), folded_output_bias_.begin());
  for (std::int64_t row = 0; row < d && !source_.v.bias.empty(); ++row) {
    double sum = 0.0;
    for (std::int64_t column = 0; column < d; ++column) {
      sum += static_cast<double>(source_.out.weight[usize(row * d + column)]) *
             static_cast<double>(source_.v.bias[usize(column)]);
    }
    folded_output_bias_[usize(row)] += static_cast<T>(sum);
  }
}

template <typename T>
void Weights<T>::prepare_fused_qkv() {
  if (fused_qkv_.outputs() != 0) return;
  const std::int64_t d = dim();
  ELBEAM_INVARIANT(key_dim() == d);
  std::vector<T> joined = scaled_query_weight();
  joined.insert(joined.end(), source_.k.weight.begin(), source_.k.weight.end());
  joined.insert(joined.end(), source_.v.weight.begin(), source_.v.weight.end());
  fused_qkv_ = kernels::PackedMatrix<T>(joined.data(), d, 3 * d, d, source_.storage);
  fused_qkv_bias_.assign(usize(3 * d), T{0});
  std::copy(query_bias_.begin(), query_bias_.end(), fused_qkv_bias_.begin());
  std::copy(source_.k.bias.begin(), source_.k.bias.end(), fused_qkv_bias_.begin() + d);
  std::copy(source_.v.bias.begin(), source_.v.bias.end(), fused_qkv_bias_.begin() + 2 * d);
}

template class Weights<float>;
template class Weights<double>;

}  // namespace elbeam::attention
