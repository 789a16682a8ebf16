#include "search/decode_loop.hpp"

#include "base/aligned_buffer.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "search/ancestry.hpp"
#include "search/beam_step.hpp"
#include "search/decode_plan.hpp"
#include "search/finished.hpp"
#include "search/lprob_rules.hpp"
#include "search/prefix.hpp"

#include <algorithm>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace elbeam::search {
namespace {

// Histories are given room for so many steps at once; longer outputs grow the room geometrically.
constexpr std::int64_t kReservedSteps = 64;

// The hypotheses of one step. Row r belongs to live sentence number r / rows_per_sentence.
struct Rows {
  std::vector<std::int64_t> sentences;  // the live ones, ascending
  std::vector<std::int64_t> tokens;     // [rows] last token
  std::vector<std::int64_t> parents;    // [rows] row of the step before; sentence in the first step
  std::vector<Ancestry::Node> nodes;    // [rows] history
  std::vector<float> scores;            // [rows] cumulative score
  std::vector<std::uint8_t> dead;       // [sentences * beam] see beam_step.hpp
  std::int64_t rows_per_sentence = 1;

  void reserve(const DecodePlan& plan) {
    sentences.reserve(usize(plan.sentences));
    tokens.reserve(usize(plan.max_rows));
    parents.reserve(usize(plan.max_rows));
    nodes.reserve(usize(plan.max_rows));
    scores.reserve(usize(plan.max_rows));
    dead.reserve(usize(plan.max_rows));
  }
  void clear() {
    sentences.clear();
    tokens.clear();
    parents.clear();
    nodes.clear();
    scores.clear();
    dead.clear();
  }
};

// The part of the rows that belongs to one live sentence.
struct SentenceRows {
  std::int64_t sentence = 0;   // in the batch
  std::int64_t first_row = 0;  // in this step
  std::span<float> log_probs;  // [rows of the sentence * vocab]
  std::span<float> scores;     // [rows of the sentence]
  std::span<Ancestry::Node> nodes;
  std::span<const std::uint8_t> dead;  // [beam]
};

class DecodeLoop {
 public:
  DecodeLoop(StepModel& model, const DecodeRequest& request, const DecodePlan& plan)
      : request_(request),
        plan_(plan),
        prefixes_(request.prefix_tokens, plan.sentences, plan.vocab, request.special),
        ancestry_(checked_mul(plan.max_rows, std::min(plan.max_len + 1, kReservedSteps))),
        log_probs_(plan.max_rows * plan.vocab),
        state_(model.start(*request.batch, {plan.beam, plan.max_len + 1,
                                            request.options.temperature, request.attention})) {
    result_.sentences.resize(usize(plan.sentences));
    now_.reserve(plan);
    next_.reserve(plan);
    survivors_.resize(usize(plan.beam));
    survivors_dead_.resize(usize(plan.beam));
    begin();
  }

  // SequenceGenerator._generate, one sentence after the other inside a step.
  DecodeResult run() {
    for (std::int64_t step = 0; !now_.sentences.empty(); ++step) {
      check_cancelled();
      step_model();
      next_.clear();
      next_.rows_per_sentence = plan_.beam;
      for (std::int64_t live = 0; live < ssize(now_.sentences.size()); ++live) {
        const SentenceRows rows = rows_of(live);
        apply_rules_to(rows, step);
        best_candidates({rows.log_probs, rows.scores, plan_.vocab}, plan_.beam, topk_workspace_,
                        candidates_);
        decide_fates(candidates_, request_.special.eos, rows.dead, fates_);
        collect_finished(rows);
        if (!is_finished(rows.sentence, step)) continue_beam(rows);
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
    for (std::int64_t sentence = 0; sentence < plan_.sentences; ++sentence) {
      now_.sentences.push_back(sentence);
      now_.tokens.push_back(request_.start_token.value_or(request_.special.eos));
      now_.parents.push_back(sentence);
      now_.nodes.push_back(Ancestry::kRoot);
      now_.scores.push_back(-0.0F);  // fairseq adds nothing in the first step, nor does -0.0
    }
    now_.dead.assign(usize(plan_.max_rows), 0);
  }

  void check_cancelled() const {
    ELBEAM_CHECK(request_.cancelled == nullptr || !request_.cancelled(), ErrorCode::kInterrupted,
                 "decoding was cancelled after ", result_.counters.steps, " steps");
  }

  void step_model() {
    const std::int64_t rows = ssize(now_.tokens.size());
    state_->step({now_.tokens, now_.parents}, {{log_probs_.data(), usize(rows * plan_.vocab)}});
    result_.counters.steps += 1;
    result_.counters.rows += rows;
  }

  SentenceRows rows_of(std::int64_t live) {
    const std::int64_t count = now_.rows_per_sentence;
    const std::int64_t first = live * count;
    return {now_.sentences[usize(live)],
            first,
            {log_probs_.data() + first * plan_.vocab, usize(count * plan_.vocab)},
            std::span(now_.scores).subspan(usize(first), usize(count)),
            std::span(now_.nodes).subspan(usize(first), usize(count)),
            std::span<const std::uint8_t>(now_.dead).subspan(usize(live * plan_.beam),
                                                             usize(plan_.beam))};
  }

  void apply_rules_to(const SentenceRows& rows, std::int64_t step) {
    LprobRules rules;
    rules.special = request_.special;
    rules.unk_penalty = static_cast<float>(request_.options.unk_penalty);
    rules.at_max_len = step >= plan_.max_len;
    const bool prefix_step = prefixes_.covers(step) && !rules.at_max_len;
    if (prefix_step) {
      rules.forced_token = prefixes_.token(rows.sentence, step);
    } else {
      rules.below_min_len = step < request_.options.min_len;
    }
    for (std::size_t row = 0; row < rows.scores.size(); ++row) {
      apply_rules(rules, rows.log_probs.subspan(row * usize(plan_.vocab), usize(plan_.vocab)));
    }
    if (rules.forced_token == request_.special.eos) replicate_first_row(rows);
  }

  // A forced eos ends the sentence: fairseq then makes all rows of its beam the same.
  void replicate_first_row(const SentenceRows& rows) {
    ancestry_.path(rows.nodes.front(), path_tokens_, path_scores_);
    prefixes_.check_followed(rows.sentence, path_tokens_);
    const std::span<const float> first = rows.log_probs.first(usize(plan_.vocab));
    for (std::size_t row = 1; row < rows.scores.size(); ++row) {
      std::copy(first.begin(), first.end(),
                rows.log_probs.begin() + static_cast<std::ptrdiff_t>(row * first.size()));
      rows.scores[row] = rows.scores.front();
      rows.nodes[row] = rows.nodes.front();
    }
  }

  void collect_finished(const SentenceRows& rows) {
    auto& finished = result_.sentences[usize(rows.sentence)];
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      if (fates_[i] != Fate::kFinishes || ssize(finished.size()) >= plan_.beam) continue;
      finished.push_back(finish_hypothesis(ancestry_, rows.nodes[usize(candidates_[i].row)],
                                           request_.special.eos, candidates_[i].score,
                                           request_.options));
    }
  }

  bool is_finished(std::int64_t sentence, std::int64_t step) const {
    const std::int64_t count = ssize(result_.sentences[usize(sentence)].size());
    // Where nothing can end in the last step fairseq stops with an assertion, even if hypotheses
    // finished before. We return these, and only have no answer where there are none.
    ELBEAM_CHECK(step < plan_.max_len || count > 0, ErrorCode::kModel, "sentence ", sentence,
                 " of the batch: no hypothesis can end: at the last step (", step,
                 ") the model gives the end of the sentence the probability 0 or NaN");
    return count >= plan_.beam || step >= plan_.max_len;
  }

  // The best candidates that do not end become the rows of the next step.
  void continue_beam(const SentenceRows& rows) {
    const std::int64_t alive = choose_survivors(fates_, survivors_, survivors_dead_);
    ELBEAM_INVARIANT(alive > 0);
    next_.sentences.push_back(rows.sentence);
    for (const std::int64_t survivor : survivors_) {
      const Candidate& candidate = candidates_[usize(survivor)];
      next_.tokens.push_back(candidate.token);
      next_.parents.push_back(rows.first_row + candidate.row);
      next_.nodes.push_back(
          ancestry_.extend(rows.nodes[usize(candidate.row)], candidate.token, candidate.score));
      next_.scores.push_back(candidate.score);
    }
    next_.dead.insert(next_.dead.end(), survivors_dead_.begin(), survivors_dead_.end());
  }

  const DecodeRequest& request_;
  const DecodePlan plan_;
  const ForcedPrefixes prefixes_;
  Ancestry ancestry_;
  AlignedBuffer<float> log_probs_;  // [rows, vocab]
  std::unique_ptr<DecodeState> state_;
  Rows now_;
  Rows next_;
  DecodeResult result_;

  // Work space of one sentence in one step.
  std::vector<ScoredIndex> topk_workspace_;
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
