// Log lines on stderr in the form of fairseq 0.12.2:
// "2026-01-31 12:00:00 | INFO | fairseq_cli.generate | message".
#pragma once

#include <string>
#include <string_view>

namespace elbeam::fairseq {

enum class LogLevel { kInfo, kWarning };

// The line, ended by a newline. `logger` is the Python module that writes it in fairseq.
std::string fairseq_log_line(LogLevel level, std::string_view logger, const std::string& message);

// Writes it to stderr. Thread-safe; never throws.
void fairseq_log(LogLevel level, std::string_view logger, const std::string& message) noexcept;

}  // namespace elbeam::fairseq
