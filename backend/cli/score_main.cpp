// elbeam-score: scores of texts against references. See --help.
#include "cli/score_metrics.hpp"
#include "fairseq_bridge/run_tool.hpp"
#include "fairseq_bridge/score.hpp"

#include <string>
#include <vector>

namespace {

// One program with two command lines: fairseq-score's, and elbeam's own.
void run(const std::vector<std::string>& arguments) {
  if (elbeam::cli::asks_for_metrics(arguments)) return elbeam::cli::run_score_metrics(arguments);
  elbeam::fairseq::run_score(arguments);
}

}  // namespace

int main(int argc, char** argv) {
  return elbeam::fairseq::run_tool("elbeam-score", argc, argv, run);
}
