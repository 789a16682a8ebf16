// How many batches are decoded at a time, and within how much memory: options of elbeam alone.
#pragma once

#include "fairseq_bridge/argument_parser.hpp"
#include "fairseq_bridge/batching.hpp"
#include "runtime/scheduler.hpp"

#include <cstdint>
#include <string>

namespace elbeam::fairseq {

// "4096", "512M", "1.5G": bytes, with K, M, G or T for powers of 1024. Throws Error(kUsage) naming
// the flag for anything else, and for 0.
std::int64_t parse_bytes(const std::string& flag, const std::string& text);

// --workers, --memory-limit and what --max-tokens and --engine mean for them. Throws Error(kUsage).
runtime::ScheduleOptions read_schedule_options(const ParsedFlags& flags, const BatchLimits& batch);

}  // namespace elbeam::fairseq
