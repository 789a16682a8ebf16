#include "search/decode_loop.hpp"

#include "base/aligned_buffer.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "search/ancestry.hpp"
#include "search/attention_history.hpp"
#include "search/beam_step.hpp"
#include "search/decode_plan.hpp"
#include "search/early_stop.hpp"
#include "search/finished.hpp"
#include "search/history_rules.hpp"
#include "search/live_rows.hpp"
#include "search/lprob_rules.hpp"
#include "search/prefix.hpp"
#include "search/strategy.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace elbeam::search {
namespace {

// Histories are given room for so many steps at once; longer outputs grow the room geometrically.
constexpr std::int64_t kReservedSteps = 64;

// The hypotheses of one live sentence.
struct SentenceRows {
  std::int64_t live = 0;       // number among the live ones
  std::int64_t sentence = 0;   // in the batch
  std::span<float> log_probs;  // [rows of the sentence * vocab]
  std::span<float> scores;     // [rows of the sentence]
  std::span<Ancestry::Node> nodes;
  std::span<const std::uint8_t> dead;  // [beam]
  std::span<float> bounds;             // [rows of the sentence * bound_count(vocab)]

  LprobRow row(std::size_t index) const {
    const std::size_t vocab = log_probs.size() / scores.size();
    const std::size_t count = bounds.size() / scores.size();
    return {log_probs.subspan(index * vocab, vocab), bounds.subspan(index * count, count)};
  }
};

// What hypotheses may have to hold whatever the model makes of it.
std::vector<std::int64_t> needed_tokens(const DecodeRequest& request) {
  std::vector<std::int64_t> tokens{request.special.eos, request.special.unk};
  for (const auto& prefix : request.prefix_tokens)
    tokens.insert(tokens.end(), prefix.begin(), prefix.end());
  for (const auto& sequences : request.constraints) {
    for (const auto& sequence : sequences)
      tokens.insert(tokens.end(), sequence.begin(), sequence.end());
  }
  return tokens;
}

class DecodeLoop {
 public:
  DecodeLoop(StepModel& model, const DecodeRequest& request, const DecodePlan& plan)
      : model_(model),
        request_(request),
        plan_(plan),
        prefixes_(request.prefix_tokens, plan.sentences, plan.vocab, request.special,
                  !request.batch->padded_lengths.empty()),
        history_rules_(request.options),
        strategy_(make_strategy(request, plan)),
        early_stop_(request.options),
        ancestry_(checked_mul(plan.max_rows, std::min(plan.max_len + 1, kReservedSteps))),
        attention_(plan.source_width),
        log_probs_(plan.max_rows * plan.vocab),
        bounds_(plan.max_rows * bound_count(plan.vocab)),
        state_(start_state()) {
    result_.sentences.resize(usize(plan.sentences));
    now_.reserve(plan);
    next_.reserve(plan);
    survivors_.resize(usize(plan.beam));
    survivors_dead_.resize(usize(plan.beam));
    path_tokens_.reserve(usize(std::min(plan.max_len + 2, kReservedSteps)));
    path_scores_.reserve(usize(std::min(plan.max_len + 2, kReservedSteps)));
    begin();
    force_prefixes();
  }

  // SequenceGenerator._generate, one sentence after the other inside a step.
  DecodeResult run() {
    const bool whole_batch = strategy_->sees_whole_batch();
    for (std::int64_t step = first_step_; now_.live() > 0; ++step) {
      check_cancelled();
      step_model();
      next_.clear();
      next_.rows_per_sentence = plan_.beam;
      if (whole_batch) {
        for (std::int64_t live = 0; live < now_.live(); ++live) apply_rules_to(rows_of(live), step);
        strategy_->begin_step(batch_step(step));
      }
      for (std::int64_t live = 0; live < now_.live(); ++live) {
        const SentenceRows rows = rows_of(live);
        if (!whole_batch) apply_rules_to(rows, step);
        strategy_->propose(sentence_step(rows, step), candidates_);
        decide_fates(candidates_, request_.special.eos, rows.dead, fates_);
        collect_finished(rows);
        if (!is_finished(rows.sentence, step)) continue_beam(rows, step);
      }
      std::swap(now_, next_);
    }
    for (auto& hypotheses : result_.sentences) sort_finished(hypotheses);
    return std::move(result_);
  }

 private:
  // All hypotheses of a sentence are equal in the first step, and fairseq looks at the first of
  // them only: there is one row for each sentence.
  void begin() {
    now_.clear();
    for (std::int64_t sentence = 0; sentence < plan_.sentences; ++sentence) {
      now_.sentences.push_back(sentence);
      now_.nodes.push_back(Ancestry::kRoot);
      now_.scores.push_back(-0.0F);  // fairseq adds nothing in the first step, nor does -0.0
      now_.first_rows.push_back(sentence);
      now_.tokens.push_back(start_token());
      now_.parents.push_back(sentence);
    }
    now_.dead.assign(usize(plan_.max_rows), 0);
  }

  // Prefixes that all sentences have are read in one pass, and the search begins behind them. Plain
  // beam search only: other strategies look at (or draw for) forced tokens, too. One row has to
  // give all candidates of the step behind the prefix: where fewer tokens than that exist, what
  // becomes of impossible hypotheses shows in the results.
  void force_prefixes() {
    const std::int64_t length = prefixes_.common_length(request_.special.eos);
    const bool candidates = plan_.vocab > 2 * plan_.beam + 2;
    if (length < 2 || length >= std::ranges::min(plan_.max_lens) || !candidates ||
        plan_.attention || request_.options.strategy != Strategy::kBeam) {
      return;
    }
    std::vector<std::vector<std::int64_t>> inputs;
    std::vector<std::vector<float>> log_probs(usize(plan_.sentences),
                                              std::vector<float>(usize(length)));
    ForcedInput input;
    for (const auto& prefix : request_.prefix_tokens) {
      auto& tokens = inputs.emplace_back(1, start_token());
      tokens.insert(tokens.end(), prefix.begin(), prefix.begin() + length - 1);
      input.targets.emplace_back(prefix.data(), usize(length));
    }
    input.tokens.assign(inputs.begin(), inputs.end());
    force(*state_, plan_.vocab, input, {{log_probs.begin(), log_probs.end()}});
    result_.counters.steps += 1;
    result_.counters.rows += plan_.sentences * length;
    if (!take_forced(log_probs)) {
      // Something impossible was forced: the steps know what fairseq does then.
      state_ = start_state();
      return begin();
    }
    first_step_ = length;
  }

  // Makes the forced tokens the histories. False: one of them is impossible.
  bool take_forced(const std::vector<std::vector<float>>& log_probs) {
    for (std::size_t s = 0; s < log_probs.size(); ++s) {
      for (std::size_t i = 0; i < log_probs[s].size(); ++i) {
        const std::int64_t token = request_.prefix_tokens[s][i];
        float log_prob = log_probs[s][i];
        if (token == request_.special.unk)
          log_prob -= static_cast<float>(request_.options.unk_penalty);
        if (!(log_prob > -std::numeric_limits<float>::infinity())) return false;
        now_.scores[s] += log_prob;
        now_.nodes[s] = ancestry_.extend(now_.nodes[s], token, now_.scores[s]);
        now_.tokens[s] = token;
      }
    }
    return true;
  }

  std::unique_ptr<DecodeState> start_state() const {
    return model_.start(*request_.batch,
                        {plan_.beam, plan_.max_len + 1, request_.options.temperature,
                         plan_.attention, needed_tokens(request_)});
  }

  std::int64_t start_token() const { return request_.start_token.value_or(request_.special.eos); }

  void check_cancelled() const {
    ELBEAM_CHECK(request_.cancelled == nullptr || !request_.cancelled(), ErrorCode::kInterrupted,
                 "decoding was cancelled after ", result_.counters.steps, " steps");
  }

  void step_model() {
    const std::int64_t rows = now_.model_rows();
    StepOutput output{{log_probs_.data(), usize(rows * plan_.vocab)}};
    if (plan_.attention) output.attention = attention_.add_step(rows);
    output.bounds = {bounds_.data(), usize(rows * bound_count(plan_.vocab))};
    std::ranges::fill(output.bounds, std::numeric_limits<float>::quiet_NaN());
    state_->step({now_.tokens, now_.parents}, output);
    now_.spread(log_probs_.data(), plan_.vocab);
    now_.spread(bounds_.data(), bound_count(plan_.vocab));
    result_.counters.steps += 1;
    result_.counters.rows += rows;
  }

  SentenceRows rows_of(std::int64_t live) {
    const std::int64_t count = now_.rows_per_sentence;
    const std::int64_t first = live * count;
    return {live,
            now_.sentences[usize(live)],
            {log_probs_.data() + first * plan_.vocab, usize(count * plan_.vocab)},
            std::span(now_.scores).subspan(usize(first), usize(count)),
            std::span(now_.nodes).subspan(usize(first), usize(count)),
            std::span<const std::uint8_t>(now_.dead).subspan(usize(live * plan_.beam),
                                                             usize(plan_.beam)),
            {bounds_.data() + first * bound_count(plan_.vocab),
             usize(count * bound_count(plan_.vocab))}};
  }

  BatchStep batch_step(std::int64_t step) {
    const std::size_t values = now_.nodes.size() * usize(plan_.vocab);
    return {step,           plan_.beam,
            plan_.vocab,    now_.rows_per_sentence,
            now_.sentences, {log_probs_.data(), values},
            now_.scores};
  }

  SentenceStep sentence_step(const SentenceRows& rows, std::int64_t step) const {
    return {step,        plan_.beam, plan_.vocab, rows.sentence, rows.log_probs,
            rows.scores, &ancestry_, rows.nodes,  rows.bounds};
  }

  void apply_rules_to(const SentenceRows& rows, std::int64_t step) {
    LprobRules rules;
    rules.special = request_.special;
    rules.unk_penalty = static_cast<float>(request_.options.unk_penalty);
    rules.at_max_len = step >= plan_.max_lens[usize(rows.sentence)];
    const bool prefix_step = prefixes_.covers(rows.sentence, step) && !rules.at_max_len;
    if (prefix_step) {
      rules.forced_token = prefixes_.token(rows.sentence, step);
    } else {
      rules.below_min_len = step < request_.options.min_len;
    }
    for (std::size_t row = 0; row < rows.scores.size(); ++row) {
      apply_rules(rules, rows.row(row));
    }
    if (rules.forced_token == request_.special.eos) replicate_first_row(rows);
    // A forced token is left alone. Where fairseq blocks one, nothing can ever end.
    if (!rules.forced_token && history_rules_.active()) apply_history_rules(rows, rules.at_max_len);
  }

  void apply_history_rules(const SentenceRows& rows, bool at_max_len) {
    for (std::size_t row = 0; row < rows.scores.size(); ++row) {
      ancestry_.path(rows.nodes[row], path_tokens_, path_scores_);
      path_tokens_.insert(path_tokens_.begin(), start_token());
      history_rules_.apply(path_tokens_, at_max_len, rows.row(row));
    }
  }

  // A forced eos ends the sentence: fairseq then makes all rows of its beam the same.
  void replicate_first_row(const SentenceRows& rows) {
    ancestry_.path(rows.nodes.front(), path_tokens_, path_scores_);
    prefixes_.check_followed(rows.sentence, path_tokens_);
    const LprobRow first = rows.row(0);
    for (std::size_t row = 1; row < rows.scores.size(); ++row) {
      std::copy(first.log_probs.begin(), first.log_probs.end(), rows.row(row).log_probs.begin());
      std::copy(first.bounds.begin(), first.bounds.end(), rows.row(row).bounds.begin());
      rows.scores[row] = rows.scores.front();
      rows.nodes[row] = rows.nodes.front();
    }
  }

  void collect_finished(const SentenceRows& rows) {
    auto& finished = result_.sentences[usize(rows.sentence)];
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      if (fates_[i] != Fate::kFinishes || ssize(finished.size()) >= plan_.wanted) continue;
      const Candidate& candidate = candidates_[i];
      const Ancestry::Node node = rows.nodes[usize(candidate.row)];
      finished.push_back(finish_hypothesis(ancestry_, node, request_.special.eos, candidate.score,
                                           request_.options));
      FinishedHypothesis& hypothesis = finished.back();
      if (!plan_.source_lengths.empty() &&
          ssize(hypothesis.tokens.size()) > plan_.source_lengths[usize(rows.sentence)] + 1) {
        hypothesis.score = -std::numeric_limits<float>::infinity();
      }
      if (plan_.attention) add_attention(rows, candidate.row, hypothesis);
    }
  }

  void add_attention(const SentenceRows& rows, std::int64_t row, FinishedHypothesis& hypothesis) {
    auto columns =
        attention_.columns(ancestry_, rows.nodes[usize(row)], now_.model_row(rows.live, row),
                           ssize(request_.batch->sentences[usize(rows.sentence)].size()));
    if (request_.options.coverage_penalty > 0) {
      hypothesis.score +=
          static_cast<float>(request_.options.coverage_penalty * log_coverage(columns));
    }
    if (request_.attention) hypothesis.attention = std::move(columns);
  }

  bool is_finished(std::int64_t sentence, std::int64_t step) const {
    const std::int64_t count = ssize(result_.sentences[usize(sentence)].size());
    if (count >= plan_.wanted) return true;
    if (step < plan_.max_lens[usize(sentence)]) return false;
    // Where nothing can end in the last step fairseq stops with an assertion, even if hypotheses
    // finished before. We return these, and only have no answer where there are none.
    ELBEAM_CHECK(count > 0 || strategy_->stop_on_max_len(), ErrorCode::kModel, "sentence ",
                 sentence, " of the batch: no hypothesis can end: at the last step (", step,
                 ") the model gives the end of the sentence the probability 0 or NaN");
    return true;
  }

  // The best candidates that do not end become the hypotheses of the next step.
  void continue_beam(const SentenceRows& rows, std::int64_t step) {
    const std::int64_t alive = choose_survivors(fates_, survivors_, survivors_dead_);
    const auto& finished = result_.sentences[usize(rows.sentence)];
    // With patience above 1 and candidates for `beam` places only, all of them may have finished.
    ELBEAM_INVARIANT(alive > 0 || !finished.empty());
    if (alive == 0) return;
    if (early_stop_.active() && decided(rows.sentence, step)) return;
    strategy_->survive(rows.sentence, survivors_);
    next_.sentences.push_back(rows.sentence);
    next_.first_rows.push_back(next_.model_rows());
    const bool shared = now_.shares_row(rows.live) && same_possible_token();
    for (const std::int64_t survivor : survivors_) {
      const Candidate& candidate = candidates_[usize(survivor)];
      const std::int64_t model_row = now_.model_row(rows.live, candidate.row);
      next_.nodes.push_back(
          ancestry_.extend(rows.nodes[usize(candidate.row)], candidate.token, candidate.score));
      next_.scores.push_back(candidate.score);
      if (plan_.attention) attention_.extend(model_row);
      if (shared && next_.model_rows() > next_.first_rows.back()) continue;
      next_.tokens.push_back(candidate.token);
      next_.parents.push_back(model_row);
    }
    next_.dead.insert(next_.dead.end(), survivors_dead_.begin(), survivors_dead_.end());
  }

  bool decided(std::int64_t sentence, std::int64_t step) {
    return early_stop_.decided(result_.sentences[usize(sentence)], best_survivor(),
                               {step + 1, plan_.max_lens[usize(sentence)] + 1});
  }

  float best_survivor() const {
    float best = -std::numeric_limits<float>::infinity();
    for (const std::int64_t survivor : survivors_) {
      best = std::max(best, candidates_[usize(survivor)].score);
    }
    return best;
  }

  // Whether the survivors that have a possible score carry the same token. The first survivor is
  // one of them, if there is any.
  bool same_possible_token() const {
    const Candidate& first = candidates_[usize(survivors_.front())];
    return std::all_of(survivors_.begin(), survivors_.end(), [&](std::int64_t survivor) {
      const Candidate& candidate = candidates_[usize(survivor)];
      return candidate.token == first.token ||
             candidate.score == -std::numeric_limits<float>::infinity();
    });
  }

  StepModel& model_;
  const DecodeRequest& request_;
  const DecodePlan plan_;
  const ForcedPrefixes prefixes_;
  HistoryRules history_rules_;
  const std::unique_ptr<SearchStrategy> strategy_;
  EarlyStop early_stop_;
  Ancestry ancestry_;
  AttentionHistory attention_;
  AlignedBuffer<float> log_probs_;  // [hypotheses, vocab]
  AlignedBuffer<float> bounds_;     // [hypotheses, bound_count(vocab)]
  std::unique_ptr<DecodeState> state_;
  std::int64_t first_step_ = 0;  // of the search: behind prefixes that were read at once
  LiveRows now_;
  LiveRows next_;
  DecodeResult result_;

  // Work space of one sentence in one step.
  std::vector<Candidate> candidates_;
  std::vector<Fate> fates_;
  std::vector<std::int64_t> survivors_;
  std::vector<std::uint8_t> survivors_dead_;
  std::vector<std::int64_t> path_tokens_;
  std::vector<float> path_scores_;
};

}  // namespace

DecodeResult decode(StepModel& model, const DecodeRequest& request) {
  const DecodePlan plan = make_plan(model, request);
  if (plan.sentences == 0) return {};
  try {
    return DecodeLoop(model, request, plan).run();
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::kOutOfMemory, "no memory left for decoding ", plan.sentences,
         " sentences with a beam of ", plan.beam);
  }
}

}  // namespace elbeam::search
