// What options that are not lossless change: a sample of the data is decoded without and with them
// before the run, and the two are compared.
#pragma once

#include <elbeam/generator.hpp>

#include "fairseq_bridge/dataset_run.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace elbeam::fairseq {

// The best hypotheses of the sample.
struct QualitySample {
  std::vector<std::vector<std::int64_t>> outputs;
  std::optional<double> bleu;  // BLEU4 as --scoring bleu; where the data has references
};

struct QualityFigures {
  std::int64_t sentences = 0;  // of the sample
  std::int64_t of = 0;         // of the data
  std::int64_t equal = 0;      // whose output is the lossless one
  std::optional<double> bleu;
  std::optional<double> lossless_bleu;

  double loss() const noexcept { return lossless_bleu.value_or(0) - bleu.value_or(0); }
};

// "--dtype int8": what of these options is not lossless; empty where all are.
std::string lossy_options(const LoadOptions& load);
// The same options without those.
LoadOptions lossless(LoadOptions load);

// Whether a sample is to be decoded. Throws Error(kUsage) where --max-quality-loss cannot be held:
// the data has no references, or there is no sample.
bool measures_quality(const GenerateJob& job);

// Decodes --quality-sample sentences: those at equal distances in the order of their lengths.
QualitySample decode_sample(const Generator& generator, const GenerateJob& job);

// Logs how the samples differ. Throws Error(kQuality) for a loss above --max-quality-loss.
QualityFigures check_quality(const QualitySample& exact, const QualitySample& lossy,
                             const GenerateJob& job);

nlohmann::json quality_json(const QualityFigures& figures);

}  // namespace elbeam::fairseq
