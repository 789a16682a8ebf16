// How a step chooses the hypotheses that may go on: the interface of fairseq's search.Search, with
// one implementation per strategy. The decode loop does all the rest.
#pragma once

#include "base/checked_math.hpp"
#include "search/ancestry.hpp"
#include "search/beam_step.hpp"
#include "search/decode_plan.hpp"
#include "search/lprob_rules.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace elbeam::search {

// All live sentences in one step, sentence after sentence. A sentence has one row in the first step
// (all of its hypotheses are equal there) and `beam` rows from then on, the dead ones included.
struct BatchStep {
  std::int64_t step = 0;
  std::int64_t beam = 0;
  std::int64_t vocab = 0;
  std::int64_t rows_per_sentence = 1;
  std::span<const std::int64_t> sentences;  // [live] numbers in the batch, ascending
  std::span<float> log_probs;               // [rows * vocab] after all rules; may be overwritten
  std::span<const float> scores;            // [rows] cumulative; -0.0 in the first step
};

// One sentence of it.
struct SentenceStep {
  std::int64_t step = 0;
  std::int64_t beam = 0;
  std::int64_t vocab = 0;
  std::int64_t sentence = 0;      // number in the batch
  std::span<float> log_probs;     // [rows * vocab] after all rules; may be overwritten
  std::span<const float> scores;  // [rows] cumulative; -0.0 in the first step
  const Ancestry* ancestry = nullptr;
  std::span<const Ancestry::Node> nodes;  // [rows] histories
  std::span<float> bounds;                // [rows * bound_count(vocab)] of log_probs: OffsetRows

  LprobRow row(std::int64_t index) const {
    const std::size_t count = usize(bound_count(vocab));
    return {log_probs.subspan(usize(index * vocab), usize(vocab)),
            bounds.subspan(usize(index) * count, count)};
  }
};

// Made for one decode() call; not thread-safe.
class SearchStrategy {
 public:
  virtual ~SearchStrategy() = default;

  // True: begin_step() is called in every step before the sentences are asked, when the rules have
  // been applied to the rows of all of them. False saves a pass over the log-probabilities.
  virtual bool sees_whole_batch() const { return false; }
  virtual void begin_step(const BatchStep& step);

  // fairseq's step(): the candidates of one sentence, best first, overwriting `candidates`.
  // Candidate::row counts the sentence's rows. There are `beam` candidates at least; of the first
  // `beam` those with eos finish, and the first `beam` others go on. Where fewer go on, the places
  // left are filled with dead rows: fairseq's cands_to_ignore.
  virtual void propose(const SentenceStep& step, std::vector<Candidate>& candidates) = 0;

  // fairseq's update_constraints(): the rows of the next step are these of the proposed candidates,
  // in this order ([beam], dead ones included). Not called for a sentence that has finished.
  virtual void survive(std::int64_t sentence, std::span<const std::int64_t> survivors);

  // Whether a sentence may end at the last step without any finished hypothesis.
  virtual bool stop_on_max_len() const { return false; }
};

// The strategy of request.options. Throws Error(kUnsupported) for one that is not there.
std::unique_ptr<SearchStrategy> make_strategy(const DecodeRequest& request, const DecodePlan& plan);

}  // namespace elbeam::search
