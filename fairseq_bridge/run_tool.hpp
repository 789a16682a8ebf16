// What every command line tool does around its work: closed pipes and signals, and one line on
// standard error with an exit code where the work throws.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace elbeam::fairseq {

// Calls `work` with the arguments after the program's name and returns main()'s status: 0, or of
// what was thrown exit_code(error.code()), 128 + n after signal n, 4 where memory ran out, 70 for
// anything else. The message begins with `name`. Once a process.
int run_tool(const char* name, int argc, char** argv,
             const std::function<void(const std::vector<std::string>&)>& work) noexcept;

// Writes `text`, of --help and --version, to standard output. Throws Error(kIo).
void print_text(const std::string& text);

}  // namespace elbeam::fairseq
