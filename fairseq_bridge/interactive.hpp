// The whole run of elbeam-interactive (fairseq_cli/interactive.py).
#pragma once

#include <elbeam/generator.hpp>

#include "fairseq_bridge/interactive_options.hpp"
#include "fairseq_bridge/line_reader.hpp"
#include "fairseq_bridge/output_file.hpp"
#include "fairseq_bridge/task.hpp"

namespace elbeam::fairseq {

// A loaded model, its task, and how lines become tokens.
struct InteractiveJob {
  const InteractiveOptions& options;
  const Generator& generator;
  const Task& task;
};

// Translates the lines block by block and writes each block's results, in the order of the lines,
// before it reads on. Memory: one block. Throws Error; what was written before it stays, and the
// lines of an unfinished block are not translated, as in fairseq.
void translate_lines(const InteractiveJob& job, LineReader& input, OutputFile& output);

// elbeam-interactive with the arguments after its name. Throws Error.
void run_interactive(const std::vector<std::string>& arguments);

}  // namespace elbeam::fairseq
