// elbeam-preprocess: fairseq-preprocess's command line. See --help.
#include <elbeam/generator.hpp>

#include "fairseq_bridge/preprocess.hpp"
#include "fairseq_bridge/run_tool.hpp"

namespace {

void preprocess(const std::vector<std::string>& arguments) {
  namespace fairseq = elbeam::fairseq;
  const auto command_line = fairseq::parse_preprocess_arguments(arguments);
  switch (command_line.action) {
    case fairseq::PreprocessAction::kHelp:
      return fairseq::print_text(fairseq::preprocess_help());
    case fairseq::PreprocessAction::kVersion:
      return fairseq::print_text(std::string("elbeam-preprocess ") + elbeam::version() + "\n");
    case fairseq::PreprocessAction::kPreprocess:
      return fairseq::run_preprocess(command_line.options);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return elbeam::fairseq::run_tool("elbeam-preprocess", argc, argv, preprocess);
}
