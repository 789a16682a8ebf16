// Beam search that stays on a device: one captured step, launched again and again.
#pragma once

#include "device/decode_run.hpp"
#include "device/run_places.hpp"
#include "device/search_start.hpp"
#include "search/decode_loop.hpp"
#include "search/decode_plan.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>

namespace elbeam::device {

// What is searched; what is referred to outlives the search.
struct SearchJob {
  const search::DecodeRequest& request;
  const search::DecodePlan& plan;
  const SearchStart& start;
  // Encodes sentences that begin later.
  std::function<void(std::span<const SourceAt>)> encode;
};

// SequenceGenerator._generate with search.BeamSearch, as search/decode_loop.cpp has it, for what
// DeviceModel::decodes() takes. The host only launches steps; it learns a few steps later which
// sentences have ended, fetches them and lets others begin in their places, and never waits.
template <typename T>
class DeviceSearch {
 public:
  // The run's shape: places and beam of the plan, steps of the start, whose prompts it has read;
  // the first sentences have their sources in their places.
  DeviceSearch(Device& device, DecodeRun<T>& run, SearchJob job);

  search::DecodeResult decode();

 private:
  // What the host has asked for and not looked at yet: the state behind a step, or the finished
  // hypotheses of sentences.
  struct Posted {
    std::int64_t ticket;
    std::int64_t step = 0;
    std::int64_t new_rows = 0;  // that began in the step
    std::vector<PlacedSentence> ended{};
  };

  // What kernels::FinishedTable says, on the host.
  struct Finished {
    const std::int32_t* count;
    const std::int32_t* length;
    const std::int32_t* tokens;
    const float* score;
    const float* scores;
  };

  void make_buffers();
  void set_prompts();
  void admit(std::span<const PlacedSentence> sentences, std::int64_t step);
  void launch(std::int64_t rows, std::int64_t group_rows) const;
  void launch_captured(std::int64_t rows);
  kernels::History history() const;
  kernels::NextRows next_rows() const;
  void launch_draws(std::int64_t rows) const;
  void launch_vocabulary(std::int64_t rows) const;
  void launch_beam_step(std::int64_t rows, std::int64_t group_rows) const;
  void post_step(std::int64_t step, std::int64_t new_rows);
  void fetch(std::vector<PlacedSentence> ended);
  void learn();
  void learn_step(const Posted& posted, const std::byte* data);
  void take_finished(const Posted& posted, const std::byte* data);
  std::vector<search::FinishedHypothesis> hypotheses(const PlacedSentence& placed,
                                                     const Finished& finished) const;

  Device& device_;
  DecodeRun<T>& run_;
  SearchJob job_;
  const search::DecodePlan& plan_;
  RunPlaces places_;
  std::deque<Posted> posted_;
  std::int64_t steps_posted_ = 0;
  std::int64_t rows_left_ = 0;         // behind the last step that was learnt about
  std::vector<PlacedSentence> ended_;  // to be fetched
  search::DecodeResult result_;
  kernels::NextTokenRules rules_;
  std::int64_t candidates_;        // of a row: twice the beam
  std::int64_t vocabulary_parts_;  // that blocks share a row's logits in
  Buffer<std::int32_t> history_tokens_;
  Buffer<float> history_scores_;
  std::int64_t banned_stride_;
  Buffer<std::int32_t> banned_;
  // [places] of the sentence that is there; what the host writes, and its copy.
  struct OfPlaces {
    std::vector<kernels::SentenceLimits> limits;
    std::vector<std::int32_t> first_tokens;
    std::vector<float> scores;
    std::vector<std::uint32_t> ids;
  } of_places_;
  Buffer<kernels::SentenceLimits> limits_;
  Buffer<std::int32_t> first_tokens_;
  Buffer<float> start_scores_;
  Buffer<std::uint32_t> draw_ids_;
  Buffer<std::int32_t> admitted_;
  Buffer<std::int32_t> prompts_;  // for n-grams
  Buffer<std::int32_t> prompt_offsets_;
  Buffer<float> stats_;
  Buffer<float> values_;
  Buffer<std::int32_t> tokens_of_values_;
  bool draws_;  // random tokens
  Buffer<std::int32_t> drawn_tokens_;
  Buffer<float> drawn_log_probs_;
  Buffer<std::int32_t> draw_failed_;
  Buffer<float> scores_;
  Buffer<std::int32_t> dead_;
  Buffer<std::int32_t> sentence_of_;
  Buffer<std::int32_t> survivors_live_;
  Buffer<std::int32_t> survivors_sentence_;
  Buffer<std::int32_t> survivors_parent_;
  Buffer<std::int32_t> survivors_token_;
  Buffer<float> survivors_score_;
  Buffer<std::int32_t> survivors_dead_;
  Buffer<std::int32_t> scratch_;
  Buffer<std::int32_t> finished_count_;
  Buffer<std::int32_t> finished_length_;
  Buffer<float> finished_score_;
  Buffer<std::int32_t> finished_tokens_;
  Buffer<float> finished_scores_;
  std::map<std::int64_t, std::unique_ptr<Graph>> graphs_;  // by rows
};

}  // namespace elbeam::device
