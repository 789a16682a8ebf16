// elbeam-interactive: fairseq-interactive's command line. See --help.
#include "fairseq_bridge/interactive.hpp"
#include "fairseq_bridge/run_tool.hpp"

int main(int argc, char** argv) {
  return elbeam::fairseq::run_tool("elbeam-interactive", argc, argv,
                                   elbeam::fairseq::run_interactive);
}
