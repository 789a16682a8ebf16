#include "search/sequence_scorer.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "search/forced_steps.hpp"

#include <cmath>

namespace elbeam::search {
namespace {

// The sums begin with -0.0, so that one model's values come out as they are.
void add(const ForcedStep& step, bool several, const std::vector<std::int64_t>& target,
         FinishedHypothesis& sum) {
  const float log_prob = step.log_probs[usize(target[usize(step.position)])];
  const std::size_t position = usize(step.position);
  sum.positional_scores[position] += several ? std::exp(log_prob) : log_prob;
  if (step.attention.empty()) return;
  std::vector<float>& column = sum.attention[position];
  column.resize(step.attention.size(), -0.0F);
  for (std::size_t i = 0; i < column.size(); ++i) column[i] += step.attention[i];
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
  if (!request.inputs.empty()) {
    const std::vector<std::int64_t>& given = request.inputs[sentence];
    ELBEAM_CHECK(given.size() == target.size(), ErrorCode::kUsage, "score: sentence ", sentence,
                 " of the batch has ", given.size(), " input tokens for ", target.size(),
                 " target tokens");
    return given;
  }
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
  for (std::size_t i = 0; i < request.targets.size(); ++i) {
    const auto& target = request.targets[i];
    run.inputs.push_back(decoder_input(request, i));
    FinishedHypothesis& hypothesis = result.sentences.emplace_back().emplace_back();
    hypothesis.tokens = target;
    hypothesis.positional_scores.assign(target.size(), -0.0F);
    if (request.attention) hypothesis.attention.resize(target.size());
  }
  for (StepModel* model : models) {
    for (std::size_t i = 0; i < request.targets.size(); ++i) {
      // The last token is not an input, hence not checked as one.
      const auto& target = request.targets[i];
      // Nor are targets that differ from the inputs.
      for (const std::int64_t token : target) {
        ELBEAM_CHECK(token >= 0 && token < model->vocab_size(), ErrorCode::kUsage,
                     "the target of sentence ", i, " of the batch: token ", token,
                     " is outside the vocabulary of ", model->vocab_size());
      }
    }
    const ForcedCounters counters = run_forced(*model, run, [&](const ForcedStep& step) {
      add(step, models.size() > 1, request.targets[usize(step.sentence)],
          result.sentences[usize(step.sentence)].front());
    });
    result.counters.steps += counters.steps;
    result.counters.rows += counters.rows;
  }
  for (auto& hypotheses : result.sentences) {
    if (models.size() > 1) average(models.size(), hypotheses.front());
    hypotheses.front().score = mean(hypotheses.front().positional_scores);
  }
  return result;
}

}  // namespace elbeam::search
