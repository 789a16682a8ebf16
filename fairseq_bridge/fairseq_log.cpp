#include "fairseq_bridge/fairseq_log.hpp"

#include <cstdio>
#include <ctime>

namespace elbeam::fairseq {

void fairseq_log(LogLevel level, std::string_view logger, const std::string& message) noexcept {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char stamp[32] = "";
  std::strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &local);
  std::fprintf(stderr, "%s | %s | %.*s | %s\n", stamp,
               level == LogLevel::kInfo ? "INFO" : "WARNING", static_cast<int>(logger.size()),
               logger.data(), message.c_str());
}

}  // namespace elbeam::fairseq
