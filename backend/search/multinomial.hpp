// torch.multinomial(probabilities, n, replacement=True) on the CPU in float32, sample for sample.
// Source: aten/src/ATen/native/Distributions.cpp, cpu/MultinomialKernel.cpp of torch 2.11. It
// has one way for one sample and another for several, which read the random numbers differently.
//
// Both throw Error(kModel) for a probability that is negative or not finite, and where all are 0,
// as torch does.
#pragma once

#include <elbeam/random.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::search {

// One row of a matrix from whose rows one sample each is drawn; call it for the rows in order.
// probabilities: not normalised; the row has `width` >= probabilities.size() elements, the rest
// are 0. Returns argmax(p / q), q exponentially distributed. Makes 2 * width draws.
std::int64_t draw_one(std::span<const float> probabilities, std::int64_t width,
                      RandomStream& random);

// Several samples from one row, by search in the cumulative sums. Makes 2 * samples.size() draws.
// `workspace` holds the sums.
void draw_several(std::span<const float> probabilities, RandomStream& random,
                  std::span<std::int64_t> samples, std::vector<float>& workspace);

// Throws Error(kModel) unless some token is possible.
void check_any_possible(bool possible);

}  // namespace elbeam::search
