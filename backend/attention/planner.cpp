#include "attention/planner.hpp"

#include "attention/cross_attention.hpp"
#include "base/checked_math.hpp"

#include <algorithm>

namespace elbeam::attention {
namespace {

// Fractions of Machine::flops that the kernels reach, and what is not arithmetic, as measured by
// elbeam-attention-bench (docs/kernels.md holds predictions against measurements).
constexpr double kPacked = 0.92;      // products with packed weights, and EL's with its slices
constexpr double kKeys = 0.8;         // a head's two products over its keys and values
constexpr double kHidden = 0.63;      // EL's two products with the hidden states,
constexpr double kHiddenRows = 16;    // unless a sentence has fewer (head, beam) rows than this
constexpr double kTask = 0.6e-6;      // seconds for each sentence and head: softmax, short loops
constexpr double kCacheBytes = 16e6;  // what a step reads again in the next step if it is no more
constexpr double kCacheSpeed = 3.0;   // of the cache against memory

// Seconds to read what a step reads of all layers.
double read_seconds(double bytes, const Machine& machine) {
  return bytes / machine.bytes_per_second / (bytes > kCacheBytes ? 1.0 : kCacheSpeed);
}

double packed_seconds(double flops, double weight_bytes, const Machine& machine) {
  return std::max(flops / (kPacked * machine.flops), read_seconds(weight_bytes, machine));
}

double rows(const Shape& s) { return static_cast<double>(s.sentences * s.beam); }

// Query and output projection of a step: both ways have them.
double projection_seconds(const Shape& s, double element_bytes, const Machine& machine) {
  const double weights =
      2.0 * static_cast<double>(s.layers) * static_cast<double>(s.dim) * static_cast<double>(s.dim);
  return packed_seconds(2.0 * weights * rows(s), weights * element_bytes, machine);
}

// Scores and pooling of a step in which one head is `width` numbers wide, all layers and heads.
double attend_flops(const Shape& s, double width) {
  return 4.0 * static_cast<double>(s.source_tokens) * static_cast<double>(s.beam) * width *
         static_cast<double>(s.heads) * static_cast<double>(s.layers);
}

}  // namespace

Shape copied(const Shape& s) {
  Shape shape = s;
  shape.beam = 1;
  shape.sentences *= s.beam;
  shape.source_tokens *= s.beam;
  return shape;
}

Cost predict_cross_mha(const Shape& s, std::int64_t element_bytes, const Machine& machine) {
  const auto d = static_cast<double>(s.dim);
  const auto layers = static_cast<double>(s.layers);
  const auto tokens = static_cast<double>(s.source_tokens);
  const auto element = static_cast<double>(element_bytes);
  Cost cost;
  cost.cache_bytes = layers * 2.0 * d * tokens * element;
  const double build =
      4.0 * layers * tokens * static_cast<double>(s.key_dim) * d / (kPacked * machine.flops);
  const double attend =
      std::max(attend_flops(s, d / static_cast<double>(s.heads)) / (kKeys * machine.flops),
               read_seconds(cost.cache_bytes, machine)) +
      kTask * layers * static_cast<double>(s.sentences * s.heads);
  cost.seconds = build + static_cast<double>(s.expected_steps) *
                             (projection_seconds(s, element, machine) + attend);
  return cost;
}

Cost predict_cross_el(const Shape& s, std::int64_t element_bytes, const Machine& machine) {
  const auto key_dim = static_cast<double>(s.key_dim);
  const auto layers = static_cast<double>(s.layers);
  const auto element = static_cast<double>(element_bytes);
  const double slices = 2.0 * layers * static_cast<double>(s.dim) * key_dim;  // for q~ and o
  const double expand = packed_seconds(2.0 * slices * rows(s), slices * element, machine);
  const double reached =
      kHidden * std::min(1.0, static_cast<double>(s.heads * s.beam) / kHiddenRows);
  const double attend = attend_flops(s, key_dim) / (reached * machine.flops) +
                        kTask * layers * static_cast<double>(s.sentences * s.heads);
  return {static_cast<double>(s.expected_steps) *
              (projection_seconds(s, element, machine) + expand + attend),
          key_dim * static_cast<double>(s.source_tokens) * element};
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
