#include "fairseq_bridge/progress_bar.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace elbeam::fairseq {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(200);
constexpr char kEraseLine[] = "\r\x1b[K";

}  // namespace

ProgressBar::ProgressBar(std::int64_t total_sentences, bool wanted)
    : total_(total_sentences),
      visible_(wanted && ::isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      next_(start_) {}

ProgressBar::~ProgressBar() {
  if (visible_) std::fputs(kEraseLine, stderr);
}

void ProgressBar::update(std::int64_t done_sentences) {
  const Clock::time_point now = Clock::now();
  if (!visible_ || now < next_) return;
  next_ = now + kInterval;
  const double seconds = std::max(1e-9, std::chrono::duration<double>(now - start_).count());
  const double rate = static_cast<double>(done_sentences) / seconds;
  const auto left =
      rate > 0 ? static_cast<std::int64_t>(static_cast<double>(total_ - done_sentences) / rate)
               : std::int64_t{0};
  std::fprintf(stderr, "%s| %lld/%lld sentences (%lld%%), %.1f sentences/s, %lld:%02lld left",
               kEraseLine, static_cast<long long>(done_sentences), static_cast<long long>(total_),
               static_cast<long long>(100 * done_sentences / std::max<std::int64_t>(total_, 1)),
               rate, static_cast<long long>(left / 60), static_cast<long long>(left % 60));
}

}  // namespace elbeam::fairseq
