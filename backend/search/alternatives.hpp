// Alternatives at a position: which tokens may follow a given prefix, and how each goes on.
#pragma once

#include "search/decode_loop.hpp"

#include <cstdint>

namespace elbeam::search {

// For each sentence the `count` most probable tokens behind its prefix (request.prefix_tokens; an
// empty one asks for the first token), most probable first, each continued by the search that
// request.options asks for; of each search the best hypothesis is returned, with the prefix and its
// scores. Tokens that are impossible there (pad, eos below min_len) are no alternatives, so there
// may be fewer. Costs one search over sentences * count. Throws Error: as decode(); kUsage when
// count is not in [1, vocabulary) or there are constraints.
DecodeResult decode_alternatives(StepModel& model, const DecodeRequest& request,
                                 std::int64_t count);

}  // namespace elbeam::search
