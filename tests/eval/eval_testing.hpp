// A whole evaluation in one call.
#pragma once

#include <elbeam/eval/evaluation.hpp>
#include <elbeam/eval/metrics.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace elbeam::eval::test {

using Texts = std::vector<std::string>;

// references[k][i] is the k-th reference of segment i.
inline Score score_of(std::unique_ptr<const Metric> metric, const Texts& hypotheses,
                      const std::vector<Texts>& references) {
  std::vector<std::unique_ptr<const Metric>> metrics;
  metrics.push_back(std::move(metric));
  Evaluation evaluation(std::move(metrics), {});
  for (std::size_t i = 0; i < hypotheses.size(); ++i) {
    std::vector<std::string_view> views;
    for (const Texts& reference : references) views.push_back(reference.at(i));
    const Segment segment{hypotheses[i], views, {}};
    evaluation.add({&segment, 1});
  }
  return evaluation.score(0);
}

}  // namespace elbeam::eval::test
