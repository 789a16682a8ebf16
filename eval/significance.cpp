#include <elbeam/eval/significance.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/thread_pool.hpp"
#include "eval/numpy_random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace elbeam::eval {
namespace {

constexpr std::int64_t kMaxSamples = 10'000'000;
// Random numbers drawn before they are used, so that they are drawn in sacrebleu's order and used
// in parallel.
constexpr std::int64_t kMaxDrawsAtOnce = std::int64_t{1} << 24;

std::int64_t check(const Metric& metric, std::span<const SystemStatistics> systems,
                   const ResamplingOptions& options) {
  ELBEAM_CHECK(!systems.empty() && !systems.front().empty(), ErrorCode::kUsage,
               "resampling: there are no segments");
  const std::size_t segments = systems.front().size() / metric.size();
  for (const SystemStatistics& system : systems) {
    ELBEAM_CHECK(system.size() == segments * metric.size(), ErrorCode::kUsage,
                 "resampling: systems differ in their number of segments, ", segments, " and ",
                 system.size() / metric.size());
  }
  ELBEAM_CHECK(segments < std::numeric_limits<std::uint32_t>::max(), ErrorCode::kLimit,
               "resampling: ", segments, " segments are too many");
  ELBEAM_CHECK(options.samples >= 1 && options.samples <= kMaxSamples, ErrorCode::kUsage,
               "resampling: samples must be 1 to ", kMaxSamples, ", got ", options.samples);
  ELBEAM_CHECK(options.threads >= 0, ErrorCode::kUsage, "threads must not be negative");
  return ssize(segments);
}

std::vector<double> sum_of(const Metric& metric, SystemStatistics statistics) {
  std::vector<double> sums(metric.size(), 0.0);
  for (std::size_t i = 0; i < statistics.size(); ++i) sums[i % sums.size()] += statistics[i];
  return sums;
}

// Calls draw(numbers) for a block of samples, one after the other, and then use(sample, numbers)
// for each sample of the block, in parallel. `numbers` has one element for each segment.
template <typename Number, typename Draw, typename Use>
void for_each_sample(std::int64_t samples, std::int64_t segments, int threads, Draw&& draw,
                     Use&& use) {
  ThreadPool pool(threads);
  const std::int64_t at_once =
      std::clamp(kMaxDrawsAtOnce / segments, std::int64_t{pool.threads()}, samples);
  std::vector<Number> numbers(usize(at_once * segments));
  for (std::int64_t first = 0; first < samples; first += at_once) {
    const std::int64_t count = std::min(at_once, samples - first);
    draw(std::span(numbers).first(usize(count * segments)));
    pool.parallel_for(count, [&](std::int64_t i) {
      use(first + i,
          std::span<const Number>(numbers).subspan(usize(i * segments), usize(segments)));
    });
  }
}

double p_value(std::span<const double> values, double real_difference) {
  const auto larger = std::count_if(values.begin(), values.end(),
                                    [&](double value) { return value > real_difference; });
  return static_cast<double>(larger + 1) / static_cast<double>(values.size() + 1);
}

void describe(std::vector<double> scores, ResamplingResult& result) {
  const std::size_t count = scores.size();
  result.mean = std::accumulate(scores.begin(), scores.end(), 0.0) / static_cast<double>(count);
  std::sort(scores.begin(), scores.end());
  const std::size_t lower = count / 40;
  result.low = scores[lower];
  result.high = scores[count - lower - 1];
  result.half_width = 0.5 * (*result.high - *result.low);
}

}  // namespace

std::vector<ResamplingResult> paired_bootstrap(const Metric& metric,
                                               std::span<const SystemStatistics> systems,
                                               const ResamplingOptions& options) {
  const std::int64_t segments = check(metric, systems, options);
  const std::size_t size = metric.size();
  std::vector<std::vector<double>> scores(systems.size());
  for (auto& one : scores) one.resize(usize(options.samples));
  NumpyRandom random(options.seed);
  for_each_sample<std::uint32_t>(
      options.samples, segments, options.threads,
      [&](std::span<std::uint32_t> indices) {
        for (auto& index : indices) index = random.below(static_cast<std::uint32_t>(segments));
      },
      [&](std::int64_t sample, std::span<const std::uint32_t> indices) {
        std::vector<double> sums(size);
        for (std::size_t s = 0; s < systems.size(); ++s) {
          std::fill(sums.begin(), sums.end(), 0.0);
          for (const std::uint32_t index : indices) {
            const double* row = &systems[s][index * size];
            for (std::size_t k = 0; k < size; ++k) sums[k] += row[k];
          }
          scores[s][usize(sample)] = metric.score(sums).score;
        }
      });
  std::vector<ResamplingResult> results(systems.size());
  for (std::size_t s = 0; s < systems.size(); ++s) {
    results[s].score = metric.score(sum_of(metric, systems[s])).score;
    describe(scores[s], results[s]);
    if (s == 0) continue;
    std::vector<double> differences(scores[s].size());
    for (std::size_t i = 0; i < differences.size(); ++i) {
      differences[i] = std::fabs(scores[s][i] - scores[0][i]);
    }
    const double mean = std::accumulate(differences.begin(), differences.end(), 0.0) /
                        static_cast<double>(differences.size());
    for (double& difference : differences) difference -= mean;
    results[s].p_value = p_value(differences, std::fabs(results[0].score - results[s].score));
  }
  return results;
}

std::vector<ResamplingResult> approximate_randomization(const Metric& metric,
                                                        std::span<const SystemStatistics> systems,
                                                        const ResamplingOptions& options) {
  const std::int64_t segments = check(metric, systems, options);
  const std::size_t size = metric.size();
  std::vector<std::vector<double>> sums;
  std::vector<ResamplingResult> results(systems.size());
  for (std::size_t s = 0; s < systems.size(); ++s) {
    sums.push_back(sum_of(metric, systems[s]));
    results[s].score = metric.score(sums[s]).score;
  }
  std::vector<std::vector<double>> differences(systems.size());
  for (auto& one : differences) one.resize(usize(options.samples));
  NumpyRandom random(options.seed);
  for_each_sample<char>(
      options.samples, segments, options.threads,
      [&](std::span<char> keep) {
        for (char& one : keep) one = random.coin() ? 1 : 0;
      },
      [&](std::int64_t sample, std::span<const char> keep) {
        // One shuffled system has the baseline's segments where `keep` says so and the other's
        // elsewhere; the second one has the rest.
        std::vector<double> first(size);
        std::vector<double> second(size);
        for (std::size_t s = 1; s < systems.size(); ++s) {
          std::fill(first.begin(), first.end(), 0.0);
          for (std::size_t i = 0; i < keep.size(); ++i) {
            const double* row = &systems[keep[i] != 0 ? 0 : s][i * size];
            for (std::size_t k = 0; k < size; ++k) first[k] += row[k];
          }
          for (std::size_t k = 0; k < size; ++k) second[k] = sums[0][k] + sums[s][k] - first[k];
          differences[s][usize(sample)] =
              std::fabs(metric.score(first).score - metric.score(second).score);
        }
      });
  for (std::size_t s = 1; s < systems.size(); ++s) {
    results[s].p_value = p_value(differences[s], std::fabs(results[0].score - results[s].score));
  }
  return results;
}

}  // namespace elbeam::eval
