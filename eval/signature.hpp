// sacrebleu's signatures: "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0".
#pragma once

#include <elbeam/eval/metric.hpp>

#include <string>
#include <string_view>

namespace elbeam::eval {

inline constexpr std::string_view kSacrebleuVersion = "2.6.0";

inline const char* yes_no(bool value) noexcept { return value ? "yes" : "no"; }

// The metric's own part between what every signature begins and ends with.
inline std::string signature_of(const SignatureContext& context, const std::string& own,
                                std::string_view version = kSacrebleuVersion) {
  std::string out = "nrefs:";
  out += context.references < 0 ? "var" : std::to_string(context.references);
  for (const std::string& part : {context.resampling, own}) {
    if (!part.empty()) out.append("|").append(part);
  }
  return out.append("|version:").append(version);
}

}  // namespace elbeam::eval
