// "| 640/1000 sentences (64%), 35.2 sentences/s, 0:10 left" on a terminal.
#pragma once

#include <chrono>
#include <cstdint>

namespace elbeam::fairseq {

class ProgressBar {
 public:
  // Draws nothing unless `wanted` and standard error is a terminal.
  ProgressBar(std::int64_t total_sentences, bool wanted);
  ~ProgressBar();  // removes the bar
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(std::int64_t done_sentences);

 private:
  using Clock = std::chrono::steady_clock;

  std::int64_t total_;
  bool visible_;
  Clock::time_point start_;
  Clock::time_point next_;  // not drawn again before
};

}  // namespace elbeam::fairseq
