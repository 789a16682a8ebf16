// elbeam-score: fairseq-score's command line. See --help.
#include "fairseq_bridge/run_tool.hpp"
#include "fairseq_bridge/score.hpp"

int main(int argc, char** argv) {
  return elbeam::fairseq::run_tool("elbeam-score", argc, argv, elbeam::fairseq::run_score);
}
