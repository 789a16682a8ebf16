// elbeam-score: fairseq-score's command line (fairseq_cli/score.py).
#pragma once

#include <string>
#include <vector>

namespace elbeam::fairseq {

// Reads system output and references side by side, line by line, and writes fairseq-score's lines
// to standard output. Memory: the different words. Throws Error: kUsage for the command line, kIo,
// kFormat (with file, line and byte for text that is not UTF-8), kLimit.
void run_score(const std::vector<std::string>& arguments);

}  // namespace elbeam::fairseq
