// The products of one decode step against the machine's limits, and single kernels.
//
//   elbeam-kernel-bench [--threads=N] [Google Benchmark's flags, e.g. --benchmark_filter=step/base]
//
// `roofline` is max(bytes / read bandwidth, operations / peak) / time: 1 is as fast as the machine
// can read the weights or multiply. Both limits are measured by the same run.
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "bench/kernels/machine_limits.hpp"
#include "bench/kernels/random_values.hpp"
#include "kernels/packed_matrix.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::bench {
namespace {

using kernels::PackedMatrix;

struct Shape {
  const char* name;
  std::int64_t layers, dim, hidden, vocab;
};
constexpr Shape kShapes[] = {{"transformer-base", 6, 512, 2048, 32768},
                             {"bart-large", 12, 1024, 4096, 50265}};
constexpr std::int64_t kRows[] = {1, 4, 5, 16, 20, 40, 80, 160, 640};

struct Context {
  std::unique_ptr<ThreadPool> pool;
  MachineLimits limits;
};

PackedMatrix<float> random_matrix(std::int64_t outputs, std::int64_t inputs) {
  std::vector<float> weight(usize(outputs * inputs));
  fill_random(weight.data(), ssize(weight.size()), 1.0F);
  return {weight.data(), inputs, outputs, inputs};
}

// All matrices that a decode step reads, in its order; each layer has its own.
struct StepWeights {
  explicit StepWeights(const Shape& shape) {
    const std::int64_t d = shape.dim;
    for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
      matrices.push_back(random_matrix(3 * d, d));         // q, k, v
      matrices.push_back(random_matrix(d, d));             // self-attention's output
      matrices.push_back(random_matrix(d, d));             // query to the source
      matrices.push_back(random_matrix(d, d));             // its output
      matrices.push_back(random_matrix(shape.hidden, d));  // feed-forward
      matrices.push_back(random_matrix(d, shape.hidden));
    }
    matrices.push_back(random_matrix(shape.vocab, d));
    for (const auto& matrix : matrices) {
      weights += matrix.inputs() * matrix.outputs();
      widest_input = std::max(widest_input, matrix.inputs());
    }
  }
  std::vector<PackedMatrix<float>> matrices;
  std::int64_t weights = 0;
  std::int64_t widest_input = 0;
};

void report(benchmark::State& state, const Context& context, double flops, double bytes) {
  const double roof =
      std::max(bytes / context.limits.bytes_per_second, flops / context.limits.flops);
  using benchmark::Counter;
  state.counters["roofline"] = Counter(roof, Counter::kIsIterationInvariantRate);
  state.counters["flops"] = Counter(flops, Counter::kIsIterationInvariantRate);
  state.counters["bytes"] = Counter(bytes, Counter::kIsIterationInvariantRate);
}

void run_step(benchmark::State& state, const Context& context, const Shape& shape,
              std::int64_t rows) {
  static const Shape* made = nullptr;  // one model's weights are in memory at a time
  static std::unique_ptr<StepWeights> step;
  if (made != &shape) {
    step.reset();
    step = std::make_unique<StepWeights>(shape);
    made = &shape;
  }
  std::vector<float> x(usize(rows * step->widest_input), 0.5F);
  std::vector<float> y(usize(rows * shape.vocab));
  for (auto unused : state) {
    static_cast<void>(unused);
    for (const auto& matrix : step->matrices) {
      matrix.multiply({x.data(), matrix.inputs()}, rows, {y.data(), matrix.outputs()}, {},
                      *context.pool);
    }
  }
  const auto weights = static_cast<double>(step->weights);
  report(state, context, 2.0 * weights * static_cast<double>(rows), 4.0 * weights);
}

void register_all(const Context& context) {
  for (const Shape& shape : kShapes) {
    for (const std::int64_t rows : kRows) {
      const std::string name = concat("step/", shape.name, "/rows:", rows);
      benchmark::RegisterBenchmark(
          name.c_str(),
          [&, rows](benchmark::State& state) { run_step(state, context, shape, rows); })
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  }
}

}  // namespace
}  // namespace elbeam::bench

int main(int argc, char** argv) {
  int threads = 1;
  constexpr std::string_view kThreads = "--threads=";
  for (int i = 1; i < argc; ++i) {
    if (!std::string_view(argv[i]).starts_with(kThreads)) continue;
    threads = std::atoi(argv[i] + kThreads.size());
    std::copy(argv + i + 1, argv + argc, argv + i);
    --argc;
    break;
  }
  try {
    elbeam::bench::Context context{std::make_unique<elbeam::ThreadPool>(threads), {}};
    context.limits = elbeam::bench::measure_limits(*context.pool);
    std::printf("%s, %d threads: %.1f GFLOP/s, reads %.1f GB/s\n",
                elbeam::kernels::isa_name(elbeam::kernels::active_isa()), context.pool->threads(),
                context.limits.flops / 1e9, context.limits.bytes_per_second / 1e9);
    elbeam::bench::register_all(context);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
