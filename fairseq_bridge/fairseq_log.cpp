#include "fairseq_bridge/fairseq_log.hpp"

#include <cstdio>
#include <ctime>

namespace elbeam::fairseq {
namespace {

const char* python_level(LogLevel level) noexcept {
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

void fairseq_log(LogLevel level, std::string_view logger, const std::string& message) noexcept {
  if (!log_enabled(level)) return;
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char stamp[32] = "";
  std::strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &local);
  std::fprintf(stderr, "%s | %s | %.*s | %s\n", stamp, python_level(level),
               static_cast<int>(logger.size()), logger.data(), message.c_str());
}

}  // namespace elbeam::fairseq
