// Log lines on stderr in the form of fairseq 0.12.2:
// "2026-01-31 12:00:00 | INFO | fairseq_cli.generate | message".
#pragma once

#include <string>
#include <string_view>

namespace elbeam::fairseq {

enum class LogLevel { kInfo, kWarning };

// `logger` is the Python module that writes the line in fairseq. Thread-safe; never throws.
void fairseq_log(LogLevel level, std::string_view logger, const std::string& message) noexcept;

}  // namespace elbeam::fairseq
