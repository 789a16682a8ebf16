// The lines of one block of elbeam-interactive as a data set: what build_dataset_for_inference of
// fairseq's tasks returns.
#pragma once

#include "fairseq_bridge/generation_dataset.hpp"

#include <string>
#include <vector>

namespace elbeam::fairseq {

// A pair task's samples are shuffled, sorted by length and put into rows by length
// (LanguagePairDataset); a language model's stay in the order of the lines.
enum class InferenceOrder { kByLength, kAsGiven };

class InferenceDataset final : public GenerationDataset {
 public:
  struct Line {
    std::vector<std::int64_t> sample;  // Task::inference_sample().source
    std::int64_t size = 0;             // tokens of the encoded line, eos included
    std::string words;                 // the encoded line itself
  };

  InferenceDataset(std::vector<Line> lines, InferenceOrder order);

  std::int64_t size() const noexcept override;
  bool has_targets() const noexcept override { return false; }
  std::int64_t source_size(std::int64_t index) const override;
  std::int64_t target_size(std::int64_t index) const override;
  std::vector<std::int64_t> source(std::int64_t index) const override;
  std::vector<std::int64_t> target(std::int64_t index) const override;
  std::string source_text(std::int64_t index) const override;
  std::string target_text(std::int64_t index) const override;
  std::vector<std::int64_t> ordered_indices(std::uint32_t seed) const override;
  bool sorts_rows() const noexcept override { return order_ == InferenceOrder::kByLength; }

 private:
  std::vector<Line> lines_;
  InferenceOrder order_;
};

}  // namespace elbeam::fairseq
