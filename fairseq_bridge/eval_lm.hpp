// The whole run of elbeam-eval-lm (fairseq_cli/eval_lm.py).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace elbeam::fairseq {

// Tokens before a sample that the model sees without being asked for them
// (fairseq/data/lm_context_window_dataset.py). Samples come in the order of the text.
class ContextWindow {
 public:
  // `size`: most tokens before a sample, 0 for none; `longest`: most tokens of a sample with them.
  ContextWindow(std::int64_t size, std::int64_t longest) : size_(size), longest_(longest) {}

  // What the model reads for a sample that reads `source`: some of the tokens of the samples before
  // and `source` behind them.
  std::vector<std::int64_t> extend(const std::vector<std::int64_t>& source);

 private:
  std::int64_t size_;
  std::int64_t longest_;
  std::vector<std::int64_t> previous_;
};

// elbeam-eval-lm with the arguments after its name. Memory: one batch, the index of the data, and
// with --output-word-stats the different words. Throws Error; what was written before it stays.
void run_eval_lm(const std::vector<std::string>& arguments);

}  // namespace elbeam::fairseq
