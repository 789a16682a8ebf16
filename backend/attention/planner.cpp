#include "attention/planner.hpp"

#include <algorithm>

namespace elbeam::attention {
namespace {

// Floating-point operations a second of one core, measured on an AVX-512 Zen 5
// (docs/benchmarks.md). Only their ratios decide, and those are about the same with AVX2.
constexpr double kPackedRate = 250e9;  // products with packed weights
constexpr double kHiddenRate = 100e9;  // EL's two products with the hidden states
// A head's two products over its keys and values: each key that is loaded serves all beams, so one
// beam is bound by loads and five are not.
double keys_rate(std::int64_t beam) {
  return 50e9 * static_cast<double>(std::min<std::int64_t>(beam, 5));
}

double flops_per_source_token_and_row(const Shape& s) {  // scores and pooling of one d-wide head
  return 4.0 * static_cast<double>(s.source_tokens) / static_cast<double>(s.sentences);
}

double row_steps(const Shape& s) {  // decoder rows summed over steps
  return static_cast<double>(s.sentences) * static_cast<double>(s.beam) *
         static_cast<double>(s.expected_steps);
}

}  // namespace

double cross_cache_bytes_copied(const Shape& s, std::int64_t element_bytes) {
  return predict_cross_mha(s, element_bytes).cache_bytes * static_cast<double>(s.beam);
}

Cost predict_cross_mha(const Shape& s, std::int64_t element_bytes) {
  const auto d = static_cast<double>(s.dim);
  const double build =
      4.0 * static_cast<double>(s.source_tokens) * static_cast<double>(s.key_dim) * d;
  const double attend = flops_per_source_token_and_row(s) * d * row_steps(s);
  const auto layers = static_cast<double>(s.layers);
  return {
      layers * (build / kPackedRate + attend / keys_rate(s.beam)),
      layers * 2.0 * d * static_cast<double>(s.source_tokens) * static_cast<double>(element_bytes)};
}

Cost predict_cross_el(const Shape& s, std::int64_t element_bytes) {
  const auto key_dim = static_cast<double>(s.key_dim);
  const auto heads = static_cast<double>(s.heads);
  const double attend = flops_per_source_token_and_row(s) * heads * key_dim * row_steps(s);
  const double expand = 4.0 * static_cast<double>(s.dim) * key_dim * row_steps(s);  // q~ and o
  return {static_cast<double>(s.layers) * (attend / kHiddenRate + expand / kPackedRate),
          key_dim * static_cast<double>(s.source_tokens) * static_cast<double>(element_bytes)};
}

Kind plan_cross(const Shape& s, std::int64_t element_bytes) {
  return predict_cross_el(s, element_bytes).seconds < predict_cross_mha(s, element_bytes).seconds
             ? Kind::kEl
             : Kind::kMha;
}

}  // namespace elbeam::attention
