// The whole run of elbeam-generate (fairseq_cli/generate.py:_main).
#pragma once

#include <elbeam/generator.hpp>

#include "fairseq_bridge/generate_options.hpp"
#include "fairseq_bridge/output_file.hpp"

namespace elbeam::fairseq {

// The task, its loaded split and what is wanted.
struct GenerateJob {
  const GenerateOptions& options;
  const Task& task;
  const GenerationDataset& dataset;
};

// Translates the split batch by batch and writes each batch's lines before the next one begins,
// then the closing lines. Throws Error; what was written before it stays.
void translate_dataset(const Generator& generator, const GenerateJob& job, OutputFile& output);

// Loads everything that the options name, and translates. Throws Error.
void run_generate(const GenerateOptions& options);

}  // namespace elbeam::fairseq
