#include "fairseq_bridge/run_tool.hpp"

#include <elbeam/error.hpp>

#include "fairseq_bridge/interrupt.hpp"
#include "fairseq_bridge/output_file.hpp"

#include <cstdio>
#include <exception>
#include <new>

namespace elbeam::fairseq {
namespace {

int status_of(const Error& error) noexcept {
  const int signal = interrupting_signal();
  if (error.code() == ErrorCode::kInterrupted && signal != 0) return 128 + signal;
  return exit_code(error.code());
}

}  // namespace

int run_tool(const char* name, int argc, char** argv,
             const std::function<void(const std::vector<std::string>&)>& work) noexcept {
  const auto report = [name](const char* message, int status) {
    std::fprintf(stderr, "%s: error: %s\n", name, message);
    return status;
  };
  ignore_broken_pipes();
  install_interrupt_handlers();
  try {
    work({argv + 1, argv + argc});
    return 0;
  } catch (const Error& error) {
    return report(error.what(), status_of(error));
  } catch (const std::bad_alloc&) {
    return report("out of memory", 4);
  } catch (const std::exception& error) {
    return report(error.what(), 70);
  }
}

void print_text(const std::string& text) {
  OutputFile output = OutputFile::standard_output();
  output.append(text);
  output.flush();
}

}  // namespace elbeam::fairseq
