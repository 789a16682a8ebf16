#include <elbeam/eval/evaluation.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/thread_pool.hpp"

#include <algorithm>
#include <utility>

namespace elbeam::eval {

struct Evaluation::State {
  struct Sums {
    std::unique_ptr<const Metric> metric;
    std::vector<double> sums;
    std::vector<double> statistics;  // of all segments with keep_segments, else of one piece
  };

  State(std::vector<std::unique_ptr<const Metric>> given, const EvaluationOptions& options_given)
      : options(options_given), pool(options_given.threads) {
    for (auto& one : given) {
      if (one->needs_segments()) options.keep_segments = true;
      const std::size_t size = one->size();
      metrics.push_back({std::move(one), std::vector<double>(size, 0.0), {}});
    }
  }

  void note_references(std::int64_t count) {
    if (references == 0) references = count;
    if (references != count) references = -1;
  }

  EvaluationOptions options;
  ThreadPool pool;
  std::vector<Sums> metrics;
  std::int64_t segments = 0;
  std::int64_t references = 0;
};

Evaluation::Evaluation(std::vector<std::unique_ptr<const Metric>> metrics,
                       const EvaluationOptions& options)
    : state_(std::make_unique<State>(std::move(metrics), options)) {}
Evaluation::~Evaluation() = default;
Evaluation::Evaluation(Evaluation&&) noexcept = default;
Evaluation& Evaluation::operator=(Evaluation&&) noexcept = default;

void Evaluation::add(std::span<const Segment> segments) {
  State& state = *state_;
  for (const Segment& segment : segments) {
    ELBEAM_CHECK(!segment.references.empty(), ErrorCode::kUsage, "segment ", state.segments + 1,
                 " has no reference");
    state.note_references(ssize(segment.references.size()));
  }
  const std::int64_t before = state.options.keep_segments ? state.segments : 0;
  for (State::Sums& one : state.metrics) {
    one.statistics.resize(usize(before + ssize(segments.size())) * one.sums.size());
  }
  // Segments differ much in length: small tasks, many per thread.
  constexpr std::int64_t kSegmentsPerTask = 16;
  const std::int64_t count = ssize(segments.size());
  const std::int64_t tasks = (count + kSegmentsPerTask - 1) / kSegmentsPerTask;
  state.pool.parallel_for(tasks, [&](std::int64_t task) {
    const std::int64_t end = std::min(count, (task + 1) * kSegmentsPerTask);
    for (std::int64_t i = task * kSegmentsPerTask; i < end; ++i) {
      for (State::Sums& one : state.metrics) {
        const std::size_t size = one.sums.size();
        one.metric->measure(segments[usize(i)],
                            std::span(one.statistics).subspan(usize(before + i) * size, size));
      }
    }
  });
  // In the order of the segments, so that sums of fractions are always the same.
  for (State::Sums& one : state.metrics) {
    const std::size_t size = one.sums.size();
    for (std::int64_t i = before; i < before + count; ++i) {
      for (std::size_t k = 0; k < size; ++k) one.sums[k] += one.statistics[usize(i) * size + k];
    }
  }
  state.segments += count;
}

std::int64_t Evaluation::segments() const noexcept { return state_->segments; }
std::size_t Evaluation::metrics() const noexcept { return state_->metrics.size(); }
const Metric& Evaluation::metric(std::size_t index) const {
  ELBEAM_INVARIANT(index < state_->metrics.size());
  return *state_->metrics[index].metric;
}

Score Evaluation::score(std::size_t index) const {
  ELBEAM_CHECK(state_->segments > 0, ErrorCode::kUsage, "there are no segments to score");
  if (metric(index).needs_segments()) return metric(index).corpus_score(statistics(index));
  return metric(index).score(state_->metrics[index].sums);
}

SignatureContext Evaluation::context() const {
  SignatureContext context;
  context.references = state_->references;
  return context;
}

std::string Evaluation::signature(std::size_t index) const {
  return metric(index).signature(context());
}

std::span<const double> Evaluation::statistics(std::size_t index) const {
  ELBEAM_INVARIANT(state_->options.keep_segments && index < state_->metrics.size());
  return state_->metrics[index].statistics;
}

Score Evaluation::segment_score(std::size_t index, std::int64_t segment) const {
  const std::size_t size = metric(index).size();
  ELBEAM_INVARIANT(segment >= 0 && segment < state_->segments);
  return metric(index).score(statistics(index).subspan(usize(segment) * size, size));
}

}  // namespace elbeam::eval
