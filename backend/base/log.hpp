// Log lines on stderr. Results never go through here: they belong on stdout.
#pragma once

#include "base/check.hpp"

#include <string>

namespace elbeam {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Lines below the level are dropped. Default kInfo. Thread-safe.
void set_log_level(LogLevel level) noexcept;
bool log_enabled(LogLevel level) noexcept;

// Writes one line "<LEVEL> elbeam: <message>" to stderr. Thread-safe; never throws.
void log_line(LogLevel level, const std::string& message) noexcept;

template <typename... Parts>
void log_info(const Parts&... parts) {
  if (log_enabled(LogLevel::kInfo)) log_line(LogLevel::kInfo, concat(parts...));
}
template <typename... Parts>
void log_warning(const Parts&... parts) {
  if (log_enabled(LogLevel::kWarning)) log_line(LogLevel::kWarning, concat(parts...));
}

}  // namespace elbeam
