// elbeam-score --metrics: any of elbeam::eval's metrics over files, as JSON or as a table.
#pragma once

#include "cli/score_options.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace elbeam::cli {

// Throws Error: kUsage for the command line; kIo, kFormat, kIntegrity, kLimit for the files, also
// where they do not have the same number of segments.
void run_score_metrics(const std::vector<std::string>& arguments);

// The same as data: [{"system": file, "metrics": {name: {"score", ..., "signature"}}}].
nlohmann::ordered_json score_systems(const ScoreOptions& options);

// Whether these arguments are for run_score_metrics() and not for fairseq-score's command line.
bool asks_for_metrics(const std::vector<std::string>& arguments);

}  // namespace elbeam::cli
