// elbeam-eval-lm: fairseq-eval-lm's command line. See --help.
#include "fairseq_bridge/eval_lm.hpp"
#include "fairseq_bridge/run_tool.hpp"

int main(int argc, char** argv) {
  return elbeam::fairseq::run_tool("elbeam-eval-lm", argc, argv, elbeam::fairseq::run_eval_lm);
}
