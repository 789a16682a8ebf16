// What elbeam-report's page shows, as one JSON object (backend/cli/report/page.js reads it).
#pragma once

#include "cli/score_options.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace elbeam::cli {

struct ReportOptions {
  ScoreOptions score;  // what elbeam-score --metrics takes, with the same meaning
  std::string title = "elbeam report";
  std::string out;
  std::vector<std::string> names;  // of the systems; empty: their files'
  std::vector<std::string> stats;  // elbeam-generate --stats of each system, in their order
  bool stock = false;              // the first system is stock fairseq's output
  // Of a larger corpus as many segments are shown: half of them the last system's worst by the
  // first metric, half evenly spread. Scores, histograms and plots are of all.
  std::int64_t rows = 2000;
  std::int64_t source_characters = 1200;  // longer sources are cut
};

// Throws Error as run_score_metrics() does; kFormat for statistics that are no JSON object.
nlohmann::ordered_json report_payload(const ReportOptions& options);

}  // namespace elbeam::cli
