#include "fairseq_bridge/fairseq_log.hpp"

#include "base/check.hpp"

#include <cstdio>
#include <ctime>
#include <new>

namespace elbeam::fairseq {

std::string fairseq_log_line(LogLevel level, std::string_view logger, const std::string& message) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char stamp[32] = "";
  std::strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &local);
  return concat(stamp, " | ", level == LogLevel::kInfo ? "INFO" : "WARNING", " | ", logger, " | ",
                message, "\n");
}

void fairseq_log(LogLevel level, std::string_view logger, const std::string& message) noexcept {
  try {
    std::fputs(fairseq_log_line(level, logger, message).c_str(), stderr);
  } catch (const std::bad_alloc&) {
    std::fputs("a log line is lost: out of memory\n", stderr);
  }
}

}  // namespace elbeam::fairseq
