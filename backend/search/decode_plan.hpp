// The sizes of one decoding run, checked before anything is allocated for it.
#pragma once

#include "search/decode_loop.hpp"

#include <cstdint>
#include <vector>

namespace elbeam::search {

// The sizes of one decode() call, checked.
struct DecodePlan {
  std::int64_t sentences = 0;
  std::int64_t places = 0;  // sentences at once
  std::int64_t beam = 0;
  std::int64_t max_len = 0;  // tokens of a hypothesis, eos excluded: the most of any sentence
  std::vector<std::int64_t> max_lens;  // [sentences] those of each
  std::int64_t vocab = 0;
  std::int64_t max_rows = 0;      // places * beam
  std::int64_t source_width = 0;  // of the longest sentence
  std::int64_t wanted = 0;        // finished hypotheses that end a sentence
  bool attention = false;         // the model is asked for its attention
  // kLengthConstrained: fairseq's src_lengths, one per sentence; else empty.
  std::vector<std::int64_t> source_lengths;
};

// Throws Error: kUsage (options; padded length below a sentence's), kModel (special tokens outside
// the vocabulary), kLimit.
DecodePlan make_plan(const StepModel& model, const DecodeRequest& request);

}  // namespace elbeam::search
