// fairseq's SequenceGenerator._generate with BeamSearch, written again from the Python, array by
// array, slow and without any of the ideas of backend/search: the oracle of oracle_test.cpp.
#pragma once

#include "search/decode_loop.hpp"
#include "support/scripted_model.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace elbeam::search {

struct LiteralInput {
  std::int64_t vocab = 0;
  std::int64_t max_positions = 0;
  test::Script script;
};

// Nothing where the Python fails an assertion.
std::optional<std::vector<std::vector<FinishedHypothesis>>> literal_search(
    const LiteralInput& input, const DecodeRequest& request);

}  // namespace elbeam::search
