// Activation functions of one instruction set. See simd.hpp for the rules of these files.
#pragma once

#include "kernels/cpu/simd.hpp"

namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE {

// erf for float vectors as a ratio of two odd/even polynomials on [-4, 4], where float erf is +-1
// outside. Coefficients: the minimax fit published with Eigen's erf.
static inline Simd<float>::Vector erf_vector(Simd<float>::Vector x) {
  using V = Simd<float>::Vector;
  V z = x > 4.0F ? Simd<float>::broadcast(4.0F) : x;
  z = z < -4.0F ? Simd<float>::broadcast(-4.0F) : z;
  const V z2 = z * z;
  V p = z2 * -2.72614225801306e-10F + 2.77068142495902e-08F;
  p = p * z2 + -2.10102402082508e-06F;
  p = p * z2 + -5.69250639462346e-05F;
  p = p * z2 + -7.34990630326855e-04F;
  p = p * z2 + -2.95459980854025e-03F;
  p = p * z2 + -1.60960333262415e-02F;
  V q = z2 * -1.45660718464996e-05F + -2.13374055278905e-04F;
  q = q * z2 + -1.68282697438203e-03F;
  q = q * z2 + -7.37332916720468e-03F;
  q = q * z2 + -1.42647390514189e-02F;
  return z * p / q;
}

static inline Simd<double>::Vector erf_vector(Simd<double>::Vector x) {
  for (std::int64_t i = 0; i < Simd<double>::kLanes; ++i) x[i] = __builtin_erf(x[i]);
  return x;
}

template <typename T>
static inline typename Simd<T>::Vector tanh_vector(typename Simd<T>::Vector x) {
  // 1 - 2 / (e^2x + 1) loses digits only where tanh(x) ~ x is far below the sums it enters.
  return T{1} - T{2} / (exp_vector(x * T{2}) + T{1});
}

// fairseq/utils.py get_activation_fn. gelu is the exact form, gelu_accurate the tanh form.
template <typename T>
static inline typename Simd<T>::Vector activate(Activation kind, typename Simd<T>::Vector x) {
  using V = typename Simd<T>::Vector;
  switch (kind) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return x > V{} ? x : V{};
    case Activation::kGelu:
      return x * T{0.5} * (T{1} + erf_vector(x * static_cast<T>(0.70710678118654752440)));
    case Activation::kGeluAccurate:
      return x * T{0.5} *
             (T{1} + tanh_vector<T>((x + x * x * x * static_cast<T>(0.044715)) *
                                    static_cast<T>(0.79788456080286535588)));
    case Activation::kTanh:
      return tanh_vector<T>(x);
    case Activation::kSwish:
      return x / (T{1} + exp_vector(-x));
  }
  return x;
}

}  // namespace elbeam::kernels::ELBEAM_ISA_NAMESPACE
