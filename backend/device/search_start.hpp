// How the sentences of a batch begin their search on a device: behind forced tokens, which are read
// in one pass, each at its own position.
#pragma once

#include "device/prompt.hpp"
#include "search/decode_loop.hpp"
#include "search/decode_plan.hpp"

#include <optional>
#include <vector>

namespace elbeam::device {

struct SearchStart {
  Prompts prompts;                              // with targets: the forced tokens
  std::vector<std::int32_t> first_tokens;       // [sentences] that the first step reads
  std::vector<kernels::SentenceLimits> limits;  // [sentences] without their first steps
  std::vector<float> scores;                    // [sentences] of what was forced
  std::vector<float> cumulative;                // [forced tokens] scores up to each
  std::int64_t steps = 0;                       // that the longest may take
  std::int64_t longest_prompt = 0;

  // Takes the log-probabilities of the forced tokens. False: one of them is impossible, and only
  // the host's search knows what fairseq does then.
  bool take(const std::vector<float>& log_probs, const search::DecodeRequest& request);
};

// Nothing where prefixes are such that only the host's search knows what fairseq does: with gaps,
// with the end of the sentence among them, or as long as an output may be. Throws as
// search::ForcedPrefixes does.
std::optional<SearchStart> plan_start(const search::DecodeRequest& request,
                                      const search::DecodePlan& plan);

}  // namespace elbeam::device
