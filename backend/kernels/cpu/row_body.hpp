// Kernels over single rows: normalisation, softmax, attention. See simd.hpp for the rules.
#pragma once

#include "kernels/cpu/simd.hpp"
#include "kernels/kernels.hpp"

namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE {

template <typename T>
static T row_max(const T* x, std::int64_t n) {
  using S = Simd<T>;
  T best = x[0];
  std::int64_t i = 0;
  if (n >= S::kLanes) {
    typename S::Vector acc = S::load(x);
    for (i = S::kLanes; i + S::kLanes <= n; i += S::kLanes) acc = S::max(S::load(x + i), acc);
    best = S::reduce_max(acc);
  }
  for (; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

// The last vector of a row, with `fill` beyond its end.
template <typename T>
static inline typename Simd<T>::Vector load_tail(const T* x, std::int64_t count, T fill) {
  T parts[Simd<T>::kLanes];
  for (std::int64_t i = 0; i < Simd<T>::kLanes; ++i) parts[i] = i < count ? x[i] : fill;
  return Simd<T>::load(parts);
}

template <typename T>
static inline void store_tail(T* x, std::int64_t count, typename Simd<T>::Vector v) {
  T parts[Simd<T>::kLanes];
  Simd<T>::store(parts, v);
  for (std::int64_t i = 0; i < count; ++i) x[i] = parts[i];
}

template <typename T>
static void layer_norm(const T* x, const T* gain, const T* bias, std::int64_t n, T* y) {
  using S = Simd<T>;
  using V = typename S::Vector;
  V total{};
  std::int64_t i = 0;
  for (; i + S::kLanes <= n; i += S::kLanes) total += S::load(x + i);
  T sum = S::reduce_add(total);
  for (; i < n; ++i) sum += x[i];
  const T mean = sum / static_cast<T>(n);
  V squares{};
  for (i = 0; i + S::kLanes <= n; i += S::kLanes) {
    const V centred = S::load(x + i) - mean;
    squares += centred * centred;
  }
  T variance = S::reduce_add(squares);
  for (; i < n; ++i) variance += (x[i] - mean) * (x[i] - mean);
  // fairseq's LayerNorm has torch's default eps.
  const T scale = T{1} / static_cast<T>(__builtin_sqrt(static_cast<double>(
                             variance / static_cast<T>(n) + static_cast<T>(1e-5))));
  for (i = 0; i + S::kLanes <= n; i += S::kLanes) {
    S::store(y + i, (S::load(x + i) - mean) * scale * S::load(gain + i) + S::load(bias + i));
  }
  for (; i < n; ++i) y[i] = (x[i] - mean) * scale * gain[i] + bias[i];
}

template <typename T>
static void softmax(T* x, std::int64_t n) {
  using S = Simd<T>;
  using V = typename S::Vector;
  if (n <= 0) return;
  const T highest = row_max(x, n);
  V total{};
  std::int64_t i = 0;
  for (; i + S::kLanes <= n; i += S::kLanes) {
    const V e = exp_not_positive(S::load(x + i) - highest);
    S::store(x + i, e);
    total += e;
  }
  if (i < n) {
    const V e =
        exp_not_positive(load_tail(x + i, n - i, static_cast<T>(-__builtin_inf())) - highest);
    store_tail(x + i, n - i, e);
    for (std::int64_t j = 0; j < n - i; ++j) total[j] += e[j];
  }
  const T scale = T{1} / S::reduce_add(total);
  for (i = 0; i + S::kLanes <= n; i += S::kLanes) S::store(x + i, S::load(x + i) * scale);
  for (; i < n; ++i) x[i] *= scale;
}

// out[i] = float(x[i] - highest - log_sum); returns the largest of them.
template <typename T>
static inline float subtract_all(const T* x, std::int64_t n, T highest, T log_sum, float* out) {
  float largest = -__builtin_inff();
  for (std::int64_t i = 0; i < n; ++i) {
    out[i] = static_cast<float>(x[i] - highest - log_sum);
    largest = out[i] > largest ? out[i] : largest;
  }
  return largest;
}

// The same of kBoundWidth floats.
static inline float subtract_block(const float* x, float highest, float log_sum, float* out) {
  using S = Simd<float>;
  S::Vector most = S::broadcast(-__builtin_inff());
  for (std::int64_t i = 0; i < kBoundWidth; i += S::kLanes) {
    const S::Vector value = S::load(x + i) - highest - log_sum;
    S::store(out + i, value);
    most = S::max(value, most);
  }
  return S::reduce_max(most);
}
static inline float subtract_block(const double* x, double highest, double log_sum, float* out) {
  return subtract_all(x, kBoundWidth, highest, log_sum, out);
}

template <typename T>
static void log_softmax(T* x, std::int64_t n, T temperature, float* out, float* bounds) {
  using S = Simd<T>;
  using V = typename S::Vector;
  if (temperature != T{1}) {
    for (std::int64_t i = 0; i < n; ++i) x[i] /= temperature;
  }
  const T highest = row_max(x, n);
  V total{};
  V more{};
  std::int64_t i = 0;
  for (; i + 2 * S::kLanes <= n; i += 2 * S::kLanes) {
    total += exp_not_positive(S::load(x + i) - highest);
    more += exp_not_positive(S::load(x + i + S::kLanes) - highest);
  }
  for (; i < n; i += S::kLanes) {
    const std::int64_t count = n - i < S::kLanes ? n - i : S::kLanes;
    const V e =
        exp_not_positive(load_tail(x + i, count, static_cast<T>(-__builtin_inf())) - highest);
    for (std::int64_t j = 0; j < count; ++j) total[j] += e[j];
  }
  const T log_sum = static_cast<T>(__builtin_log(static_cast<double>(S::reduce_add(total + more))));
  const bool sane = log_sum - log_sum == T{0};
  for (i = 0; i < n; i += kBoundWidth) {
    const float largest = n - i >= kBoundWidth
                              ? subtract_block(x + i, highest, log_sum, out + i)
                              : subtract_all(x + i, n - i, highest, log_sum, out + i);
    if (bounds != nullptr) bounds[i / kBoundWidth] = sane ? largest : __builtin_nanf("");
  }
}

// scores[t] = query . keys[t], four keys at a time to hide the latency of the sums.
template <typename T>
static void score_keys(const HeadAttention<T>& a, std::int64_t head, T* scores) {
  using S = Simd<T>;
  using V = typename S::Vector;
  const T* query = a.query + head * a.width;
  const std::int64_t offset = a.key_offset + head * a.head_stride;
  for (std::int64_t t = 0; t < a.length; t += 4) {
    const std::int64_t count = a.length - t < 4 ? a.length - t : 4;
    const T* key[4];
    for (std::int64_t j = 0; j < 4; ++j) key[j] = a.keys[t + (j < count ? j : 0)] + offset;
    V acc[4] = {};
    std::int64_t i = 0;
    for (; i + S::kLanes <= a.width; i += S::kLanes) {
      const V q = S::load(query + i);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) acc[j] += q * S::load(key[j] + i);
    }
    for (std::int64_t j = 0; j < count; ++j) {
      T sum = S::reduce_add(acc[j]);
      for (std::int64_t rest = i; rest < a.width; ++rest) sum += query[rest] * key[j][rest];
      scores[t + j] = sum;
    }
  }
}

template <typename T>
static void pool_values(const HeadAttention<T>& a, std::int64_t head, const T* weights) {
  using S = Simd<T>;
  using V = typename S::Vector;
  constexpr int kBlock = 4;
  T* out = a.context + head * a.width;
  const std::int64_t offset = a.value_offset + head * a.head_stride;
  std::int64_t i = 0;
  for (; i + kBlock * S::kLanes <= a.width; i += kBlock * S::kLanes) {
    V acc[kBlock] = {};
    for (std::int64_t t = 0; t < a.length; ++t) {
      const T* value = a.values[t] + offset + i;
#pragma GCC unroll 4
      for (int b = 0; b < kBlock; ++b) acc[b] += weights[t] * S::load(value + b * S::kLanes);
    }
    for (int b = 0; b < kBlock; ++b) S::store(out + i + b * S::kLanes, acc[b]);
  }
  for (; i + S::kLanes <= a.width; i += S::kLanes) {
    V acc{};
    for (std::int64_t t = 0; t < a.length; ++t)
      acc += weights[t] * S::load(a.values[t] + offset + i);
    S::store(out + i, acc);
  }
  for (; i < a.width; ++i) {
    T sum{0};
    for (std::int64_t t = 0; t < a.length; ++t) sum += weights[t] * a.values[t][offset + i];
    out[i] = sum;
  }
}

template <typename T>
static void attend(const HeadAttention<T>& a) {
  for (std::int64_t head = 0; head < a.heads; ++head) {
    T* scores = a.scores + head * a.length;
    score_keys(a, head, scores);
    softmax(scores, a.length);
    pool_values(a, head, scores);
  }
}

}  // namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE
