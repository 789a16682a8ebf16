// Metrics over a corpus that is given in pieces.
#pragma once

#include <elbeam/eval/metric.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace elbeam::eval {

struct EvaluationOptions {
  int threads = 1;  // 0: as many as this process may run on
  // Whether statistics() and segment_score() will be asked for; else memory does not grow, unless
  // a metric needs_segments().
  bool keep_segments = false;
};

// Not thread-safe. Results do not depend on the number of threads or on the pieces.
class Evaluation {
 public:
  Evaluation(std::vector<std::unique_ptr<const Metric>> metrics, const EvaluationOptions& options);
  ~Evaluation();
  Evaluation(Evaluation&&) noexcept;
  Evaluation& operator=(Evaluation&&) noexcept;

  void add(std::span<const Segment> segments);

  std::int64_t segments() const noexcept;  // added so far
  std::size_t metrics() const noexcept;
  const Metric& metric(std::size_t index) const;
  // Of all segments. Throws Error(kUsage) when there are none.
  Score score(std::size_t metric) const;
  // With the references and nothing else in it.
  std::string signature(std::size_t metric) const;
  SignatureContext context() const;

  // With keep_segments: [segments, metric(index).size()], row-major.
  std::span<const double> statistics(std::size_t metric) const;
  Score segment_score(std::size_t metric, std::int64_t segment) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace elbeam::eval
