#include "fairseq_bridge/schedule_options.hpp"

#include "base/check.hpp"
#include "device/device.hpp"
#include "fairseq_bridge/option_groups.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <system_error>

namespace elbeam::fairseq {

std::int64_t parse_bytes(const std::string& flag, const std::string& text) {
  constexpr std::string_view kUnits = "KMGT";
  std::string_view digits = text;
  double unit = 1.0;
  if (!digits.empty()) {
    if (const std::size_t power = kUnits.find(digits.back()); power != std::string_view::npos) {
      unit = std::exp2(10.0 * static_cast<double>(power + 1));
      digits.remove_suffix(1);
    }
  }
  double value = 0.0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, std::chars_format::fixed);
  const double bytes = value * unit;
  ELBEAM_CHECK(error == std::errc() && stop == end && bytes >= 1.0 && bytes < 9e18,
               ErrorCode::kUsage, "argument ", flag, ": expected bytes such as 512M or 1.5G, got ",
               quoted(text));
  return static_cast<std::int64_t>(bytes);
}

runtime::ScheduleOptions read_schedule_options(const ParsedFlags& flags, const BatchLimits& batch) {
  runtime::ScheduleOptions options;
  const std::int64_t workers = required_int(flags, "--workers");
  ELBEAM_CHECK(workers >= 1 && workers <= 1024, ErrorCode::kUsage,
               "--workers must be between 1 and 1024, got ", workers);
  options.workers = static_cast<int>(workers);
  if (const std::string device = flags.text("--device").value(); device != "cpu") {
    options.background = true;
    // Samples of fairseq's stream are drawn by one worker.
    const bool one = flags.flag("--sampling") && *flags.text("--sampling-draws") == "fairseq";
    if (!flags.given("--workers") && !one)
      options.workers = static_cast<int>(device::device_names(device).size());
  }
  if (const auto limit = flags.text("--memory-limit")) {
    options.memory_limit = parse_bytes("--memory-limit", *limit);
  }
  options.max_tokens = std::max<std::int64_t>(batch.max_tokens, 0);
  // An exported module pads: its results change with what else is in the batch.
  options.share = !flags.flag("--no-shared-sources");
  options.join = *flags.text("--engine") == "native";
  return options;
}

}  // namespace elbeam::fairseq
