#include "search/multinomial.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>
#include <cmath>

namespace elbeam::search {
namespace {

void check_probability(float probability) {
  ELBEAM_CHECK(probability >= 0.0F && std::isfinite(probability), ErrorCode::kModel,
               "sampling: a probability is ", probability, ", which is negative or not finite");
}

}  // namespace

void check_any_possible(bool possible) {
  ELBEAM_CHECK(possible, ErrorCode::kModel,
               "sampling: the model gives the probability 0 to every token that may come next");
}

std::int64_t draw_one(std::span<const float> probabilities, std::int64_t width,
                      RandomStream& random) {
  std::int64_t best = 0;
  float best_value = -1.0F;
  bool possible = false;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const float probability = probabilities[i];
    check_probability(probability);
    const double uniform = random.uniform();
    if (probability == 0.0F) continue;
    possible = true;
    // q = -log(1 - u) is never below u: most elements cannot win, and need no logarithm. The margin
    // is far above the rounding of q and of the quotient to float32.
    constexpr double kMargin = 1.0 - 1e-6;
    if (static_cast<double>(probability) < static_cast<double>(best_value) * uniform * kMargin) {
      continue;
    }
    const auto exponential = static_cast<float>(-std::log1p(-uniform));
    const float value = probability / exponential;
    if (value > best_value) {
      best_value = value;
      best = ssize(i);
    }
  }
  check_any_possible(possible);
  random.skip(2 * static_cast<std::uint64_t>(width - ssize(probabilities.size())));
  return best;
}

void draw_several(std::span<const float> probabilities, RandomStream& random,
                  std::span<std::int64_t> samples, std::vector<float>& workspace) {
  workspace.resize(probabilities.size());
  float sum = 0.0F;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    check_probability(probabilities[i]);
    sum += probabilities[i];
    workspace[i] = sum;
  }
  check_any_possible(sum > 0.0F);
  for (float& value : workspace) value /= sum;
  workspace.back() = 1.0F;
  for (std::int64_t& sample : samples) {
    const double uniform = random.uniform();
    const auto found = std::partition_point(
        workspace.begin(), workspace.end(),
        [uniform](float value) { return static_cast<double>(value) < uniform; });
    sample = found - workspace.begin();
  }
}

}  // namespace elbeam::search
