// A StepModel whose log-probabilities are written by the test: a function of the source sentence
// and of the tokens so far. It checks that the search uses it as step_model.hpp says.
#pragma once

#include <elbeam/step_model.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace elbeam::test {

struct ScriptInput {
  std::span<const std::int64_t> source;   // eos included
  std::span<const std::int64_t> history;  // tokens so far, the first eos excluded
};

// The attention of every scripted model: multiples of 1/1024 from a hash, which
// tests/data/search/make_strategy_golden.py computes in the same way.
float scripted_attention(const ScriptInput& input, std::size_t position);

// Writes all of log_probs, [vocab].
using Script = std::function<void(const ScriptInput& input, std::span<float> log_probs)>;

class ScriptedModel final : public StepModel {
 public:
  ScriptedModel(std::int64_t vocab_size, std::int64_t max_decoder_positions, Script script)
      : vocab_size_(vocab_size),
        max_decoder_positions_(max_decoder_positions),
        script_(std::move(script)) {}

  std::int64_t vocab_size() const override { return vocab_size_; }
  std::int64_t max_decoder_positions() const override { return max_decoder_positions_; }
  std::int64_t max_source_positions() const override { return 1'000'000; }

  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    return std::make_unique<State>(*this, batch, shape);
  }

 private:
  class State final : public DecodeState {
   public:
    State(const ScriptedModel& model, const SourceBatch& batch, const DecodeShape& shape)
        : model_(model), sources_(batch.sentences), shape_(shape) {}

    void step(const StepInput& input, const StepOutput& output) override {
      const std::span<float> log_probs = output.log_probs;
      ELBEAM_INVARIANT(++steps_ <= shape_.max_steps);
      ELBEAM_INVARIANT(input.tokens.size() == input.parents.size() && !input.tokens.empty());
      ELBEAM_INVARIANT(log_probs.size() == input.tokens.size() * usize(model_.vocab_size_));
      std::vector<Row> rows;
      for (std::size_t i = 0; i < input.tokens.size(); ++i) {
        rows.push_back(steps_ == 1 ? first_row(input, i) : next_row(input, i));
        ELBEAM_INVARIANT(i == 0 || rows[i].sentence >= rows[i - 1].sentence);
      }
      rows_ = std::move(rows);
      check_rows_per_sentence();
      for (std::size_t i = 0; i < rows_.size(); ++i) {
        const auto out =
            log_probs.subspan(i * usize(model_.vocab_size_), usize(model_.vocab_size_));
        model_.script_({sources_[rows_[i].sentence], rows_[i].history}, out);
        for (float& value : out) value /= static_cast<float>(shape_.temperature);
        if (shape_.attention) write_attention(rows_[i], i, output.attention);
      }
    }

   private:
    struct Row {
      std::size_t sentence = 0;
      std::vector<std::int64_t> history;
    };

    Row first_row(const StepInput& input, std::size_t i) const {
      ELBEAM_INVARIANT(input.parents[i] >= 0 && input.parents[i] < ssize(sources_.size()));
      return {usize(input.parents[i]), {}};
    }

    Row next_row(const StepInput& input, std::size_t i) const {
      ELBEAM_INVARIANT(input.parents[i] >= 0 && input.parents[i] < ssize(rows_.size()));
      ELBEAM_INVARIANT(input.tokens[i] >= 0 && input.tokens[i] < model_.vocab_size_);
      Row row = rows_[usize(input.parents[i])];
      row.history.push_back(input.tokens[i]);
      return row;
    }

    void write_attention(const Row& row, std::size_t i, std::span<float> attention) const {
      const std::size_t width = attention.size() / rows_.size();
      ELBEAM_INVARIANT(attention.size() == width * rows_.size());
      const auto columns = attention.subspan(i * width, width);
      std::fill(columns.begin(), columns.end(), 0.0F);
      const std::vector<std::int64_t>& source = sources_[row.sentence];
      for (std::size_t c = 0; c < source.size(); ++c) {
        columns[c] = scripted_attention({source, row.history}, c);
      }
    }

    void check_rows_per_sentence() const {
      std::int64_t run = 0;
      for (std::size_t i = 0; i < rows_.size(); ++i) {
        run = i > 0 && rows_[i].sentence == rows_[i - 1].sentence ? run + 1 : 1;
        ELBEAM_INVARIANT(run <= shape_.beam);
      }
    }

    const ScriptedModel& model_;
    std::vector<std::vector<std::int64_t>> sources_;
    DecodeShape shape_;
    std::int64_t steps_ = 0;
    std::vector<Row> rows_;
  };

  std::int64_t vocab_size_;
  std::int64_t max_decoder_positions_;
  Script script_;
};

// Log-probabilities from a hash of everything that they may depend on: the same in every program
// that follows these few lines (tests/data/search/make_golden.py does), exact in float32.
struct HashScript {
  std::uint64_t seed = 0;
  bool coarse = false;  // multiples of 1/2: most sums tie
  bool holes = false;   // one value in 8 is -inf
  bool nans = false;    // one value in 16 is NaN

  static std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15U;
    return hash ^ (hash >> 32);
  }

  void operator()(const ScriptInput& input, std::span<float> log_probs) const {
    std::uint64_t hash = mix(seed, 1);
    for (const std::int64_t token : input.source)
      hash = mix(hash, static_cast<std::uint64_t>(token));
    for (const std::int64_t token : input.history) {
      hash = mix(hash, static_cast<std::uint64_t>(token) + 1000);
    }
    for (std::size_t v = 0; v < log_probs.size(); ++v) log_probs[v] = value(mix(hash, v + 100'000));
  }

  float value(std::uint64_t random) const {
    const std::uint64_t kind = random % 16;
    if (holes && kind < 2) return -std::numeric_limits<float>::infinity();
    if (nans && kind == 2) return std::numeric_limits<float>::quiet_NaN();
    const std::uint64_t bits = random >> 8;
    if (coarse) return -0.5F * static_cast<float>(bits % 6);
    return -static_cast<float>(bits % (1U << 24)) / static_cast<float>(1U << 21);
  }
};

inline float scripted_attention(const ScriptInput& input, std::size_t position) {
  std::uint64_t hash = HashScript::mix(77, 1);
  for (const std::int64_t token : input.source) {
    hash = HashScript::mix(hash, static_cast<std::uint64_t>(token));
  }
  for (const std::int64_t token : input.history) {
    hash = HashScript::mix(hash, static_cast<std::uint64_t>(token) + 1000);
  }
  const std::uint64_t bits = (HashScript::mix(hash, position + 200'000) >> 8) % 1024;
  return static_cast<float>(bits) / 1024.0F;
}

}  // namespace elbeam::test
