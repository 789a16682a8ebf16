// elbeam-generate: fairseq-generate's command line. See --help.
#include <elbeam/generator.hpp>

#include "fairseq_bridge/generate.hpp"
#include "fairseq_bridge/generate_options.hpp"
#include "fairseq_bridge/run_tool.hpp"

#include <string>
#include <vector>

namespace {

void run(const std::vector<std::string>& arguments) {
  namespace fairseq = elbeam::fairseq;
  const fairseq::CommandLine command_line = fairseq::parse_command_line(arguments);
  switch (command_line.action) {
    case fairseq::Action::kHelp:
      return fairseq::print_text(fairseq::help_text());
    case fairseq::Action::kVersion:
      return fairseq::print_text(std::string("elbeam-generate ") + elbeam::version() + "\n" +
                                 elbeam::supported_devices() + "\n");
    case fairseq::Action::kGenerate:
      return fairseq::run_generate(command_line.options);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return elbeam::fairseq::run_tool("elbeam-generate", argc, argv, run);
}
