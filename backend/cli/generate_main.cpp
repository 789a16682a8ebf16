// elbeam-generate: fairseq-generate's command line. See --help.
#include <elbeam/error.hpp>
#include <elbeam/generator.hpp>

#include "fairseq_bridge/generate.hpp"
#include "fairseq_bridge/generate_options.hpp"
#include "fairseq_bridge/interrupt.hpp"
#include "fairseq_bridge/output_file.hpp"

#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

namespace {

int report(const char* message, int status) {
  std::fprintf(stderr, "elbeam-generate: error: %s\n", message);
  return status;
}

void print(const std::string& text) {
  auto output = elbeam::fairseq::OutputFile::standard_output();
  output.append(text);
  output.flush();
}

void run(const std::vector<std::string>& arguments) {
  namespace fairseq = elbeam::fairseq;
  const fairseq::CommandLine command_line = fairseq::parse_command_line(arguments);
  switch (command_line.action) {
    case fairseq::Action::kHelp:
      return print(fairseq::help_text());
    case fairseq::Action::kVersion:
      return print(std::string("elbeam-generate ") + elbeam::version() + "\n");
    case fairseq::Action::kGenerate:
      return fairseq::run_generate(command_line.options);
  }
}

}  // namespace

int main(int argc, char** argv) {
  elbeam::fairseq::ignore_broken_pipes();
  elbeam::fairseq::install_interrupt_handlers();
  try {
    run({argv + 1, argv + argc});
    return 0;
  } catch (const elbeam::Error& error) {
    if (error.code() == elbeam::ErrorCode::kInterrupted) {
      const int signal = elbeam::fairseq::interrupting_signal();
      return report(error.what(), signal != 0 ? 128 + signal : elbeam::exit_code(error.code()));
    }
    return report(error.what(), elbeam::exit_code(error.code()));
  } catch (const std::bad_alloc&) {
    return report("out of memory", 4);
  } catch (const std::exception& error) {
    return report(error.what(), 70);
  }
}
