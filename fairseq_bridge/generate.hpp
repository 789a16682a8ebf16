// The whole run of elbeam-generate (fairseq_cli/generate.py:_main).
#pragma once

#include <elbeam/generator.hpp>

#include "fairseq_bridge/dataset_run.hpp"
#include "fairseq_bridge/generate_options.hpp"
#include "fairseq_bridge/output_file.hpp"
#include "fairseq_bridge/quality.hpp"

#include <optional>

namespace elbeam::fairseq {

// Translates the split batch by batch and writes each batch's lines before the next one begins,
// then the closing lines. `quality` goes into the statistics. Throws Error; what was written before
// it stays.
void translate_dataset(const Generator& generator, const GenerateJob& job, OutputFile& output,
                       const std::optional<QualityFigures>& quality = {});

// Loads everything that the options name, and translates. Throws Error; Error(kQuality), before
// anything is written, where a precision that is not lossless loses more than is allowed.
void run_generate(const GenerateOptions& options);

}  // namespace elbeam::fairseq
