#include "search/alternatives.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "search/decode_plan.hpp"
#include "search/forced_run.hpp"
#include "search/lprob_rules.hpp"
#include "search/topk.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace elbeam::search {
namespace {

// The tokens that may follow each sentence's prefix, most probable first.
struct NextTokens {
  std::vector<std::vector<std::int64_t>> tokens;  // [sentences][<= count]
  std::int64_t steps = 0;
  std::int64_t rows = 0;
};

NextTokens next_tokens(StepModel& model, const DecodeRequest& request, const DecodePlan& plan,
                       std::int64_t count) {
  ForcedRun run;
  run.batch = request.batch;
  run.temperature = request.options.temperature;
  run.cancelled = request.cancelled;
  for (std::int64_t sentence = 0; sentence < plan.sentences; ++sentence) {
    auto& input = run.inputs.emplace_back();
    input.push_back(request.start_token.value_or(request.special.eos));
    if (request.prefix_tokens.empty()) continue;
    const auto& prefix = request.prefix_tokens[usize(sentence)];
    input.insert(input.end(), prefix.begin(), prefix.end());
  }
  run.last = true;
  ForcedResult forced = run_forced(model, run);
  NextTokens next{std::vector<std::vector<std::int64_t>>(usize(plan.sentences)), forced.steps,
                  forced.rows};
  std::vector<ScoredIndex> workspace;
  const std::vector<float> no_offset{-0.0F};
  std::vector<float> bounds(usize(bound_count(plan.vocab)));
  for (std::int64_t sentence = 0; sentence < plan.sentences; ++sentence) {
    const std::int64_t position = ssize(run.inputs[usize(sentence)].size()) - 1;
    const auto log_probs =
        std::span(forced.last_log_probs).subspan(usize(sentence * plan.vocab), usize(plan.vocab));
    LprobRules rules;
    rules.special = request.special;
    rules.unk_penalty = static_cast<float>(request.options.unk_penalty);
    rules.at_max_len = position >= plan.max_len;
    rules.below_min_len = position < request.options.min_len;
    std::ranges::fill(bounds, std::numeric_limits<float>::quiet_NaN());
    apply_rules(rules, {log_probs, bounds});
    for (const ScoredIndex& best :
         topk({log_probs, no_offset, plan.vocab, plan.vocab, bounds}, count, workspace)) {
      if (std::isfinite(best.score)) next.tokens[usize(sentence)].push_back(best.index);
    }
  }
  return next;
}

void check_prefixes(const DecodeRequest& request, const DecodePlan& plan) {
  if (request.prefix_tokens.empty()) return;
  ELBEAM_CHECK(ssize(request.prefix_tokens.size()) == plan.sentences, ErrorCode::kUsage,
               "expected one prefix for each of ", plan.sentences, " sentences, got ",
               request.prefix_tokens.size());
  for (const auto& prefix : request.prefix_tokens) {
    for (const std::int64_t token : prefix) {
      ELBEAM_CHECK(token != request.special.eos && token != request.special.pad, ErrorCode::kUsage,
                   "alternatives: a prefix cannot contain eos or pad");
    }
    ELBEAM_CHECK(ssize(prefix.size()) <= plan.max_len, ErrorCode::kUsage,
                 "alternatives: a prefix of ", prefix.size(),
                 " tokens is longer than an output may be, ", plan.max_len);
  }
}

}  // namespace

DecodeResult decode_alternatives(StepModel& model, const DecodeRequest& request,
                                 std::int64_t count) {
  const DecodePlan plan = make_plan(model, request);
  ELBEAM_CHECK(count >= 1 && count < plan.vocab, ErrorCode::kUsage,
               "alternatives: expected a number from 1 to ", plan.vocab - 1, ", got ", count);
  ELBEAM_CHECK(request.constraints.empty(), ErrorCode::kUsage,
               "alternatives do not go with constraints");
  check_prefixes(request, plan);
  DecodeResult result;
  result.sentences.resize(usize(plan.sentences));
  if (plan.sentences == 0) return result;
  const NextTokens next = next_tokens(model, request, plan, count);

  DecodeRequest searches = request;
  SourceBatch batch;
  batch.padded_length = request.batch->padded_length;
  searches.batch = &batch;
  searches.prefix_tokens.clear();
  std::vector<std::int64_t> owners;
  for (std::int64_t sentence = 0; sentence < plan.sentences; ++sentence) {
    for (const std::int64_t token : next.tokens[usize(sentence)]) {
      owners.push_back(sentence);
      batch.sentences.push_back(request.batch->sentences[usize(sentence)]);
      auto& prefix = searches.prefix_tokens.emplace_back();
      if (!request.prefix_tokens.empty()) prefix = request.prefix_tokens[usize(sentence)];
      // At the last step eos follows by itself: nothing is forced there.
      if (ssize(prefix.size()) < plan.max_len) prefix.push_back(token);
    }
  }
  DecodeResult decoded = decode(model, searches);
  for (std::size_t i = 0; i < owners.size(); ++i) {
    if (decoded.sentences[i].empty()) continue;
    result.sentences[usize(owners[i])].push_back(std::move(decoded.sentences[i].front()));
  }
  result.counters.steps = next.steps + decoded.counters.steps;
  result.counters.rows = next.rows + decoded.counters.rows;
  return result;
}

}  // namespace elbeam::search
