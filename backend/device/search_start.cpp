#include "device/search_start.hpp"

#include "search/prefix.hpp"

#include <algorithm>
#include <limits>

namespace elbeam::device {
namespace {

// How many first tokens of a sentence are forced; -1 where the device cannot begin behind them.
std::int64_t forced_length(const search::ForcedPrefixes& prefixes, std::int64_t sentence,
                           std::int64_t width, std::int64_t eos) {
  std::int64_t length = 0;
  while (length < width) {
    const std::optional<std::int64_t> token = prefixes.token(sentence, length);
    if (!token) break;
    if (*token == eos) return -1;
    ++length;
  }
  for (std::int64_t t = length; t < width; ++t) {
    if (prefixes.token(sentence, t)) return -1;
  }
  return length;
}

}  // namespace

std::optional<SearchStart> plan_start(const search::DecodeRequest& request,
                                      const search::DecodePlan& plan) {
  const search::ForcedPrefixes prefixes(request.prefix_tokens, plan.sentences, plan.vocab,
                                        request.special, !request.batch->padded_lengths.empty());
  const std::int32_t start_token = narrow(request.start_token.value_or(request.special.eos));
  SearchStart start;
  for (std::int64_t s = 0; s < plan.sentences; ++s) {
    const std::int64_t max_len = plan.max_lens[usize(s)];
    std::int64_t width = 0;
    while (width < max_len && prefixes.covers(s, width)) ++width;
    const std::int64_t length = forced_length(prefixes, s, width, request.special.eos);
    if (length < 0 || (length > 0 && length >= max_len)) return std::nullopt;
    std::int32_t token = start_token;
    for (std::int64_t t = 0; t < length; ++t) {
      start.prompts.tokens.push_back(token);
      token = narrow(*prefixes.token(s, t));
      start.prompts.targets.push_back(token);
    }
    start.prompts.offsets.push_back(ssize(start.prompts.tokens.size()));
    start.first_tokens.push_back(token);
    start.limits.push_back({narrow(length), narrow(width), narrow(max_len)});
    start.steps = std::max(start.steps, max_len + 1 - length);
    start.longest_prompt = std::max(start.longest_prompt, length);
  }
  start.scores.assign(usize(plan.sentences), 0.0F);
  return start;
}

bool SearchStart::take(const std::vector<float>& log_probs, const search::DecodeRequest& request) {
  for (std::size_t s = 0; s < scores.size(); ++s) {
    for (std::int64_t i = prompts.offsets[s]; i < prompts.offsets[s + 1]; ++i) {
      float log_prob = log_probs[usize(i)];
      if (prompts.targets[usize(i)] == request.special.unk)
        log_prob -= static_cast<float>(request.options.unk_penalty);
      if (!(log_prob > -std::numeric_limits<float>::infinity())) return false;
      scores[s] += log_prob;
      cumulative.push_back(scores[s]);
    }
  }
  return true;
}

}  // namespace elbeam::device
