// Is one system better than another, or was it the choice of the test sentences? Resampling as in
// sacrebleu 2.6.0's significance.py (Koehn 2004; Riezler and Maxwell 2005), for any Metric: what is
// resampled are the numbers that Metric::measure() wrote, so that a resample is a sum.
#pragma once

#include <elbeam/eval/metric.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace elbeam::eval {

struct ResamplingOptions {
  std::int64_t samples = 1000;  // sacrebleu: 1,000 for bootstrap, 10,000 for randomization
  // Seeds numpy's default_rng(), whose numbers these are: the same seed gives sacrebleu's
  // resamples.
  std::uint64_t seed = 12345;
  int threads = 0;  // 0: as many as this process may run on; results do not depend on it
};

struct ResamplingResult {
  double score = 0;  // of the corpus as it is
  // Of the scores of all bootstrap resamples: their mean, half the width of the 95 % interval, and
  // its bounds. Nothing after approximate randomization.
  std::optional<double> mean;
  std::optional<double> half_width;
  std::optional<double> low;
  std::optional<double> high;
  std::optional<double> p_value;  // of the difference to the first system, which has none
};

// Statistics of one system: [segments, metric.size()], row-major, segments in the same order for
// all. Each function throws Error(kUsage) where there are no segments, numbers of them differ, or
// options are out of range. Results in the order of the systems.
using SystemStatistics = std::span<const double>;

// Bootstrap: confidence intervals of each system, and p-values against the first one.
std::vector<ResamplingResult> paired_bootstrap(const Metric& metric,
                                               std::span<const SystemStatistics> systems,
                                               const ResamplingOptions& options);

// Approximate randomization: two-sided p-values against the first system.
std::vector<ResamplingResult> approximate_randomization(const Metric& metric,
                                                        std::span<const SystemStatistics> systems,
                                                        const ResamplingOptions& options);

}  // namespace elbeam::eval
