// The command line of elbeam-score --metrics.
#pragma once

#include <elbeam/eval/metrics.hpp>
#include <elbeam/eval/significance.hpp>
#include <elbeam/eval/text_file.hpp>

#include <string>
#include <vector>

namespace elbeam::cli {

struct ScoreOptions {
  bool help = false;
  std::vector<std::string> systems;
  std::vector<std::string> references;
  std::string source;  // empty: none
  std::vector<std::string> metric_names;
  eval::MetricOptions metrics;
  eval::TextFileOptions system_text;
  eval::TextFileOptions reference_text;
  eval::TextFileOptions source_text;
  bool json = false;
  bool segments = false;
  int threads = 0;
  // Resampling: of each system for itself or against the first one.
  enum class Resampling { kNone, kConfidence, kPairedBootstrap, kPairedRandomization };
  Resampling resampling = Resampling::kNone;
  eval::ResamplingOptions resampling_options;
};

ScoreOptions parse_score_options(const std::vector<std::string>& arguments);  // Error(kUsage)
std::string score_help();

}  // namespace elbeam::cli
