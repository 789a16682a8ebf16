#include "attention/planner.hpp"

#include "attention/cross_attention.hpp"
#include "base/checked_math.hpp"

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

std::int64_t BatchMemory::total() const { return checked_add(cross_bytes, self_bytes); }

BatchMemory batch_memory(const MemoryRequest& request, Kind cross_kind) {
  const Shape& s = request.shape;
  BatchMemory memory;
  memory.cross_kind = cross_kind;
  std::int64_t tokens = 0;
  std::int64_t padded = 0;
  std::int64_t longest = 0;
  for (const std::int64_t length : request.source_lengths) {
    tokens = checked_add(tokens, length);
    padded = checked_add(padded, (length + request.lanes - 1) / request.lanes * request.lanes);
    longest = std::max(longest, length);
  }
  std::int64_t elements = checked_mul(tokens, s.key_dim);  // the encoder's output
  if (cross_kind == Kind::kMha) {
    const std::int64_t layer = checked_mul(checked_add(tokens, padded), s.dim);
    elements = checked_add(elements, checked_mul(layer, s.layers));
    // Keys or values as they are projected, before they are put in order.
    const std::int64_t projected = std::max(longest, std::min(tokens, kProjectedTokens));
    elements = checked_add(elements, checked_mul(projected, s.dim));
  }
  memory.cross_bytes = checked_mul(elements, request.element_bytes);
  // Whole pages, and one more where a prompt of one row a sentence fans out into beams.
  constexpr std::int64_t kPage = SelfCache<float>::kPageSteps;
  const std::int64_t steps =
      checked_add((request.max_steps + kPage - 1) / kPage, std::int64_t{1}) * kPage;
  const std::int64_t width = checked_mul(self_cache_width(request.self_kind, s.dim), s.layers);
  const std::int64_t rows = checked_mul(ssize(request.source_lengths.size()), s.beam);
  memory.self_bytes =
      checked_mul(checked_mul(checked_mul(rows, steps), width), request.element_bytes);
  return memory;
}

BatchMemory plan_batch(const MemoryRequest& request, std::int64_t limit) {
  const Kind faster = plan_cross(request.shape, request.element_bytes);
  const BatchMemory planned = batch_memory(request, faster);
  if (faster == Kind::kEl || limit == 0 || planned.total() <= limit) return planned;
  const BatchMemory el = batch_memory(request, Kind::kEl);
  return el.cross_bytes < planned.cross_bytes ? el : planned;
}

}  // namespace elbeam::attention
