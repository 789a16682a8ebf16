#include "search/sequence_scorer.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "search/forced_run.hpp"

#include <cmath>

namespace elbeam::search {
namespace {

// The sums begin with -0.0, so that one model's values come out as they are.
void add(const ForcedResult& forced, std::size_t sentence, bool several, FinishedHypothesis& sum) {
  const std::vector<float>& log_probs = forced.target_log_probs[sentence];
  for (std::size_t i = 0; i < log_probs.size(); ++i) {
    sum.positional_scores[i] += several ? std::exp(log_probs[i]) : log_probs[i];
  }
  for (std::size_t i = 0; i < sum.attention.size(); ++i) {
    const float* line = forced.attention[sentence].data() + i * usize(forced.source_width);
    for (float& value : sum.attention[i]) value += *line++;
  }
}

void average(std::size_t models, FinishedHypothesis& sum) {
  const auto count = static_cast<float>(models);
  for (float& score : sum.positional_scores) score = std::log(score / count);
  for (std::vector<float>& column : sum.attention) {
    for (float& value : column) value /= count;
  }
}

float mean(const std::vector<float>& scores) {
  double total = 0.0;
  for (const float score : scores) total += static_cast<double>(score);
  return static_cast<float>(total / static_cast<double>(scores.size()));
}

// What the decoder reads: what is given, or else the target moved by one place, behind the start
// token.
std::vector<std::int64_t> decoder_input(const ScoreTargets& request, std::size_t sentence) {
  const std::vector<std::int64_t>& target = request.targets[sentence];
  if (!request.inputs.empty()) return request.inputs[sentence];
  std::vector<std::int64_t> input;
  if (target.empty()) return input;
  input.push_back(request.start_token.value_or(request.special.eos));
  input.insert(input.end(), target.begin(), target.end() - 1);
  return input;
}

}  // namespace

DecodeResult score_targets(std::span<StepModel* const> models, const ScoreTargets& request) {
  ELBEAM_CHECK(request.batch != nullptr, ErrorCode::kUsage, "score: there is no batch");
  ELBEAM_CHECK(!models.empty(), ErrorCode::kUsage, "score: there is no model");
  ForcedRun run;
  run.batch = request.batch;
  run.attention = request.attention;
  run.cancelled = request.cancelled;
  DecodeResult result;
  ELBEAM_CHECK(request.inputs.empty() || request.inputs.size() == request.targets.size(),
               ErrorCode::kUsage, "score: ", request.inputs.size(), " inputs for ",
               request.targets.size(), " targets");
  ELBEAM_CHECK(request.targets.size() == request.batch->sentences.size(), ErrorCode::kUsage,
               "expected one target for each of ", request.batch->sentences.size(),
               " sentences, got ", request.targets.size());
  run.targets = request.targets;
  for (std::size_t i = 0; i < request.targets.size(); ++i) {
    const auto& target = request.targets[i];
    run.inputs.push_back(decoder_input(request, i));
    FinishedHypothesis& hypothesis = result.sentences.emplace_back().emplace_back();
    hypothesis.tokens = target;
    hypothesis.positional_scores.assign(target.size(), -0.0F);
    if (request.attention) {
      const std::vector<float> column(request.batch->sentences[i].size(), -0.0F);
      hypothesis.attention.assign(target.size(), column);
    }
  }
  for (StepModel* model : models) {
    const ForcedResult forced = run_forced(*model, run);
    for (std::size_t i = 0; i < request.targets.size(); ++i) {
      add(forced, i, models.size() > 1, result.sentences[i].front());
    }
    result.counters.steps += forced.steps;
    result.counters.rows += forced.rows;
  }
  for (auto& hypotheses : result.sentences) {
    if (models.size() > 1) average(models.size(), hypotheses.front());
    hypotheses.front().score = mean(hypotheses.front().positional_scores);
  }
  return result;
}

}  // namespace elbeam::search
