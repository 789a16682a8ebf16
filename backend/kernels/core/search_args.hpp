// What the kernels of the device-side beam search are given; see args.hpp.
#pragma once

#include "kernels/core/args.hpp"

#include <cstdint>

namespace elbeam::kernels {

// What was decoded so far: what the slots of step t of their sentences read, [steps][slots], and
// its cumulative score.
struct History {
  std::int32_t* tokens = nullptr;
  float* scores = nullptr;
  std::int64_t slots = 0;                                 // from one step to the next
  const std::int32_t* ancestors[2] = {nullptr, nullptr};  // as PagedCache
  std::int64_t ancestor_stride = 0;
};

// What is a sentence's own.
struct SentenceLimits {
  std::int32_t prompt = 0;        // tokens that were read before its first step
  std::int32_t prefix_width = 0;  // below so many tokens min_len does not hold
  std::int32_t max_len = 0;
  std::int32_t first_step = 0;  // the step of the run that it begins in
};

// What may be said next, for all rows (search/lprob_rules.hpp). A sentence is known by its place.
struct NextTokenRules {
  std::int32_t pad = 0;
  std::int32_t eos = 0;
  std::int32_t unk = 0;
  std::int32_t min_len = 0;
  float unk_penalty = 0.0F;
  float temperature = 1.0F;
  const SentenceLimits* limits = nullptr;     // [places]
  const std::int32_t* sentence_of = nullptr;  // [groups] the place of each
};

// banned[row][i] is the token that would repeat the n-gram which begins at token i of the row's
// hypothesis, or -1.
struct NgramArgs {
  const StepState* state = nullptr;
  History history;
  std::int32_t* banned = nullptr;  // [rows, banned_stride]
  std::int64_t banned_stride = 0;
  std::int32_t size = 0;  // n
  NextTokenRules rules;
  // What was read before the first step, the last token left out: sentence s's from
  // prompt_offsets[s] on. Where the limits say so.
  const std::int32_t* prompts = nullptr;
  const std::int32_t* prompt_offsets = nullptr;
};

// One pass over logits [rows, vocab]: log-sum-exp and the best `wanted` tokens that may be said, of
// each of grid_y parts of the vocabulary.
template <typename T>
struct VocabularyArgs {
  const StepState* state = nullptr;
  const T* logits = nullptr;
  const std::int32_t* banned = nullptr;  // as NgramArgs, or nullptr
  std::int64_t banned_stride = 0;
  float* stats = nullptr;              // [rows, parts, 2] maximum, sum of exp(logit - maximum)
  float* values = nullptr;             // [rows, parts, wanted] logit / temperature
  std::int32_t* candidates = nullptr;  // [rows, parts, wanted] token, or kNoToken
  NextTokenRules rules;
  std::int32_t vocab = 0;
  std::int32_t wanted = 0;
};
inline constexpr std::int32_t kNoToken = 0x7fffffff;

// Draws the next token of each hypothesis; in a sentence's first step, of all hypotheses from its
// first row.
template <typename T>
struct SampleArgs {
  const StepState* state = nullptr;
  T* logits = nullptr;                   // [rows, vocab]; of banned tokens they become -inf
  const std::int32_t* banned = nullptr;  // as NgramArgs, or nullptr
  std::int64_t banned_stride = 0;
  std::int32_t* tokens = nullptr;  // [groups, beam]
  float* log_probs = nullptr;      // [groups, beam]
  std::int32_t* failed = nullptr;  // [rows] becomes 1 where no token is possible
  NextTokenRules rules;
  const std::uint32_t* ids = nullptr;  // [places] see SearchOptions::counter_draws
  std::uint64_t seed = 0;
  std::int32_t vocab = 0;
  std::int32_t beam = 0;
  std::int32_t topk = -1;  // not positive: off, as topp, which wins
  float topp = -1.0F;
};

// Finished hypotheses: number k of a sentence lies at sentence * beam + k.
struct FinishedTable {
  std::int32_t* count = nullptr;   // [sentences]
  std::int32_t* length = nullptr;  // eos included
  float* score = nullptr;          // cumulative
  std::int32_t* tokens = nullptr;  // [sentences * beam][width], eos last
  float* scores = nullptr;         // the same, cumulative
  std::int64_t width = 0;
};

// What a step decides for each place of each group, before finished sentences leave.
struct Survivors {
  std::int32_t* live = nullptr;       // [groups] whether the sentence goes on
  std::int32_t* sentences = nullptr;  // [groups]
  std::int32_t* parents = nullptr;    // [groups, beam] row of this step
  std::int32_t* tokens = nullptr;
  float* scores = nullptr;
  std::int32_t* dead = nullptr;
};

// fairseq's BeamSearch.step and the choice of what goes on (search/beam_step.hpp), and what has
// finished. In a sentence's first step all rows are equal: the first one counts. One warp for each
// group.
struct BeamArgs {
  const StepState* state = nullptr;
  History history;
  const float* stats = nullptr;  // of VocabularyArgs
  const float* values = nullptr;
  const std::int32_t* candidates = nullptr;
  const float* scores = nullptr;       // [rows] cumulative
  const std::int32_t* dead = nullptr;  // [groups, beam]
  Survivors survivors;
  FinishedTable finished;
  NextTokenRules rules;
  std::int32_t vocab = 0;
  std::int32_t parts = 0;
  std::int32_t beam = 0;
  // In place of stats, values and candidates: what was drawn (SampleArgs).
  const std::int32_t* drawn_tokens = nullptr;
  const float* drawn_log_probs = nullptr;
};

// What decides the rows of the next step. "parts" is what MergeArgs has; what lies behind the rows
// is old. The slots of place p are p * beam on.
struct NextRows {
  std::int32_t* tokens = nullptr;  // [rows]
  std::int32_t* parents = nullptr;
  float* scores = nullptr;
  std::int32_t* dead = nullptr;         // [groups, beam]
  std::int32_t* sentence_of = nullptr;  // [groups]
  RowRange* rows_of = nullptr;          // [places]
  std::int32_t* position_of_row = nullptr;
  std::int32_t* first_of_row = nullptr;
  std::int32_t* slot_of_row = nullptr;
  std::int32_t* parts_of_row = nullptr;
  std::int32_t* self_parts_of_row = nullptr;    // nullptr: nothing was read before the first step
  const std::int32_t* parts_of = nullptr;       // [places]
  const std::int32_t* self_parts_of = nullptr;  // [places]
  const SentenceLimits* limits = nullptr;       // [places]
  History history;
  std::int32_t beam = 0;
};

// Moves the survivors of live sentences together: the rows of the next step. One block.
struct CompactArgs {
  StepState* state = nullptr;
  Survivors survivors;
  NextRows rows;
  std::int32_t* places = nullptr;  // [groups] scratch
};

// Puts sentences behind those that go on, with group_rows rows each that read the sentence's first
// token. One block.
struct AdmitArgs {
  StepState* state = nullptr;  // of the step that they begin in
  NextRows rows;
  const std::int32_t* admitted = nullptr;  // [count] their places
  std::int32_t count = 0;
  const std::int32_t* first_tokens = nullptr;  // [places]
  const float* start_scores = nullptr;         // [places]
  std::int32_t* finished_count = nullptr;      // [places] becomes 0
};

}  // namespace elbeam::kernels
