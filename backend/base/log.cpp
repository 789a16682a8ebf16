#include "base/log.hpp"

#include <atomic>
#include <cstdio>

namespace elbeam {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};

const char* level_name(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::kDebug:
      return "DEBUG";
    case LogLevel::kInfo:
      return "INFO";
    case LogLevel::kWarning:
      return "WARNING";
    case LogLevel::kError:
      return "ERROR";
  }
  return "ERROR";
}

}  // namespace

void set_log_level(LogLevel level) noexcept { g_level.store(level, std::memory_order_relaxed); }

bool log_enabled(LogLevel level) noexcept {
  return level >= g_level.load(std::memory_order_relaxed);
}

void log_line(LogLevel level, const std::string& message) noexcept {
  if (!log_enabled(level)) return;
  // One call per line: stdio locks the stream, so lines of several threads do not mix.
  std::fprintf(stderr, "%s elbeam: %s\n", level_name(level), message.c_str());
}

}  // namespace elbeam
