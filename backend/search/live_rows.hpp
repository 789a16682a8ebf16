// The hypotheses of one step, and the rows of the model that compute them.
#pragma once

#include "base/checked_math.hpp"
#include "search/ancestry.hpp"
#include "search/decode_plan.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace elbeam::search {

// Live sentence number i has the hypotheses [i * rows_per_sentence, (i + 1) * rows_per_sentence).
// The model computes them in as many rows, or in one, where all hypotheses that have a possible
// score are the same tokens: in the first step, and as long as a prefix is forced. (Rows with a
// score of -inf stay there whatever the model says.)
struct LiveRows {
  std::vector<std::int64_t> sentences;   // the live ones, ascending
  std::vector<Ancestry::Node> nodes;     // [hypotheses] history
  std::vector<float> scores;             // [hypotheses] cumulative score
  std::vector<std::uint8_t> dead;        // [sentences * beam] see beam_step.hpp
  std::vector<std::int64_t> first_rows;  // [sentences] first row of the model
  std::vector<std::int64_t> tokens;      // [model rows] last token
  std::vector<std::int64_t> parents;     // [model rows] row of the step before; at first: sentence
  std::int64_t rows_per_sentence = 1;

  void reserve(const DecodePlan& plan) {
    sentences.reserve(usize(plan.sentences));
    nodes.reserve(usize(plan.max_rows));
    scores.reserve(usize(plan.max_rows));
    dead.reserve(usize(plan.max_rows));
    first_rows.reserve(usize(plan.sentences));
    tokens.reserve(usize(plan.max_rows));
    parents.reserve(usize(plan.max_rows));
  }

  void clear() {
    sentences.clear();
    nodes.clear();
    scores.clear();
    dead.clear();
    first_rows.clear();
    tokens.clear();
    parents.clear();
  }

  std::int64_t live() const noexcept { return ssize(sentences.size()); }
  std::int64_t model_rows() const noexcept { return ssize(tokens.size()); }

  bool shares_row(std::int64_t live_sentence) const noexcept {
    const bool last = live_sentence + 1 == live();
    const std::int64_t end = last ? model_rows() : first_rows[usize(live_sentence + 1)];
    return end - first_rows[usize(live_sentence)] == 1;
  }

  // The model's row of hypothesis `row` of a sentence.
  std::int64_t model_row(std::int64_t live_sentence, std::int64_t row) const noexcept {
    return first_rows[usize(live_sentence)] + (shares_row(live_sentence) ? 0 : row);
  }

  // Spreads values [model rows, width] to [hypotheses, width], in place.
  void spread(float* values, std::int64_t width) const noexcept {
    if (model_rows() == ssize(nodes.size())) return;
    // From the end: a row never moves to the left, and what it overwrites has been moved already.
    for (std::int64_t i = live() - 1; i >= 0; --i) {
      for (std::int64_t row = rows_per_sentence - 1; row >= 0; --row) {
        const std::int64_t from = model_row(i, row);
        const std::int64_t to = i * rows_per_sentence + row;
        if (from == to) continue;
        std::memcpy(values + to * width, values + from * width, usize(width) * sizeof(float));
      }
    }
  }
};

}  // namespace elbeam::search
