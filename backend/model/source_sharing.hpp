// Sentences of a batch that have the same source.
#pragma once

#include <elbeam/step_model.hpp>

#include <cstdint>
#include <vector>

namespace elbeam::model {

struct DistinctSources {
  SourceBatch batch;                      // every source once, in the order of the first ones
  std::vector<std::int64_t> of_sentence;  // [sentences] its number in `batch`
};

// share = false: all are taken to be different.
DistinctSources distinct_sources(const SourceBatch& batch, bool share);

}  // namespace elbeam::model
