// Beam search that stays on a device: one captured step, launched again and again.
#pragma once

#include "device/decode_run.hpp"
#include "device/search_start.hpp"
#include "search/decode_loop.hpp"
#include "search/decode_plan.hpp"

#include <map>
#include <memory>

namespace elbeam::device {

// SequenceGenerator._generate with search.BeamSearch, as search/decode_loop.cpp has it, for what
// DeviceModel::decodes() takes. The host only launches steps; it learns how many sentences are left
// a few steps later, and never waits for it.
template <typename T>
class DeviceSearch {
 public:
  // The run's shape: beam of the plan, steps of the start, whose prompts it has read.
  DeviceSearch(Device& device, DecodeRun<T>& run, const search::DecodeRequest& request,
               const search::DecodePlan& plan, const SearchStart& start);

  search::DecodeResult decode();

 private:
  void begin();
  void launch(std::int64_t rows, std::int64_t group_rows) const;
  void launch_captured(std::int64_t rows);
  std::int64_t bucket(std::int64_t groups) const;
  kernels::History history() const;
  void set_prompts();
  void set_draws();
  void launch_draws(std::int64_t rows) const;
  void launch_vocabulary(std::int64_t rows) const;
  void launch_beam_step(std::int64_t rows, std::int64_t group_rows) const;
  search::DecodeResult results() const;

  Device& device_;
  DecodeRun<T>& run_;
  const search::DecodeRequest& request_;
  const search::DecodePlan& plan_;
  const SearchStart& start_;
  kernels::NextTokenRules rules_;
  std::int64_t candidates_;        // of a row: twice the beam
  std::int64_t vocabulary_parts_;  // that blocks share a row's logits in
  Buffer<std::int32_t> history_tokens_;
  Buffer<float> history_scores_;
  std::int64_t banned_stride_;
  Buffer<std::int32_t> banned_;
  Buffer<kernels::SentenceLimits> limits_;
  Buffer<std::int32_t> prompts_;  // for n-grams
  Buffer<std::int32_t> prompt_offsets_;
  Buffer<float> stats_;
  Buffer<float> values_;
  Buffer<std::int32_t> tokens_of_values_;
  bool draws_;  // random tokens
  Buffer<std::int32_t> drawn_tokens_;
  Buffer<float> drawn_log_probs_;
  Buffer<std::int32_t> draw_failed_;
  Buffer<std::uint32_t> draw_ids_;
  Buffer<float> scores_;
  Buffer<std::int32_t> dead_;
  Buffer<std::int32_t> sentence_of_;
  Buffer<std::int32_t> survivors_live_;
  Buffer<std::int32_t> survivors_sentence_;
  Buffer<std::int32_t> survivors_parent_;
  Buffer<std::int32_t> survivors_token_;
  Buffer<float> survivors_score_;
  Buffer<std::int32_t> survivors_dead_;
  Buffer<std::int32_t> places_;
  Buffer<std::int32_t> finished_count_;
  Buffer<std::int32_t> finished_length_;
  Buffer<float> finished_score_;
  Buffer<std::int32_t> finished_tokens_;
  Buffer<float> finished_scores_;
  std::map<std::int64_t, std::unique_ptr<Graph>> graphs_;  // by rows
};

}  // namespace elbeam::device
