#include <elbeam/options.hpp>

#include "base/check.hpp"

#include <cmath>

namespace elbeam {
namespace {

// fairseq's build_generator counts --diversity-rate from above 0 on, though it acts from -1 on.
void validate_strategy(const SearchOptions& options) {
  const Strategy strategy = options.strategy;
  const int asked_for = static_cast<int>(strategy == Strategy::kSampling) +
                        static_cast<int>(options.diverse_groups > 0) +
                        static_cast<int>(strategy == Strategy::kLengthConstrained) +
                        static_cast<int>(options.diversity_rate > 0);
  ELBEAM_CHECK(asked_for <= 1, ErrorCode::kUsage,
               "Provided Search parameters are mutually exclusive. (--sampling, "
               "--diverse-beam-groups, --match-source-len, --diversity-rate)");
  ELBEAM_CHECK(strategy == Strategy::kDiverseBeam || options.diverse_groups <= 0, ErrorCode::kUsage,
               "--diverse-beam-groups ", options.diverse_groups,
               " needs the strategy of diverse beam search");
  ELBEAM_CHECK(strategy == Strategy::kSampling || options.sampling_topk <= 0, ErrorCode::kUsage,
               "--sampling-topk requires --sampling");
  ELBEAM_CHECK(strategy == Strategy::kSampling || options.sampling_topp <= 0, ErrorCode::kUsage,
               "--sampling-topp requires --sampling");
  ELBEAM_CHECK(strategy == Strategy::kSampling || !options.counter_draws, ErrorCode::kUsage,
               "--sampling-draws counter requires --sampling");
  ELBEAM_CHECK(!std::isnan(options.sampling_topp), ErrorCode::kUsage,
               "--sampling-topp must be a number");
  if (strategy == Strategy::kDiverseBeam) {
    ELBEAM_CHECK(options.diverse_groups >= 1, ErrorCode::kUsage,
                 "--diverse-beam-groups must be at least 1, got ", options.diverse_groups);
    ELBEAM_CHECK(std::isfinite(options.diverse_strength), ErrorCode::kUsage,
                 "--diverse-beam-strength must be finite, got ", options.diverse_strength);
  }
  if (strategy == Strategy::kDiverseSiblings) {
    ELBEAM_CHECK(std::isfinite(options.diversity_rate) && options.diversity_rate > -1,
                 ErrorCode::kUsage, "--diversity-rate must be a number above -1, got ",
                 options.diversity_rate);
  }
}

void validate_extensions(const SearchOptions& options) {
  ELBEAM_CHECK(options.no_repeat_ngram_size >= 0, ErrorCode::kUsage,
               "--no-repeat-ngram-size must not be negative, got ", options.no_repeat_ngram_size);
  ELBEAM_CHECK(std::isfinite(options.patience) && options.patience > 0, ErrorCode::kUsage,
               "patience must be greater than 0, got ", options.patience);
  ELBEAM_CHECK(std::isfinite(options.coverage_penalty) && options.coverage_penalty >= 0,
               ErrorCode::kUsage, "the coverage penalty must not be negative, got ",
               options.coverage_penalty);
  ELBEAM_CHECK(std::isfinite(options.repetition_penalty) && options.repetition_penalty > 0,
               ErrorCode::kUsage, "the repetition penalty must be greater than 0, got ",
               options.repetition_penalty);
  for (const auto& sequence : options.suppressed_sequences) {
    ELBEAM_CHECK(!sequence.empty(), ErrorCode::kUsage, "a suppressed sequence has no tokens");
  }
  ELBEAM_CHECK(options.strategy != Strategy::kSampling ||
                   (!options.early_stopping && !options.heuristic_stopping),
               ErrorCode::kUsage,
               "early stopping does not go with --sampling: it would change the random numbers of "
               "the other sentences");
}

}  // namespace

void SearchOptions::validate() const {
  ELBEAM_CHECK(beam >= 1, ErrorCode::kUsage, "--beam must be at least 1, got ", beam);
  ELBEAM_CHECK(nbest >= 1, ErrorCode::kUsage, "--nbest must be at least 1, got ", nbest);
  ELBEAM_CHECK(std::isfinite(max_len_a), ErrorCode::kUsage, "--max-len-a must be finite, got ",
               max_len_a);
  ELBEAM_CHECK(std::isfinite(max_len_b), ErrorCode::kUsage, "--max-len-b must be finite, got ",
               max_len_b);
  ELBEAM_CHECK(std::isfinite(lenpen), ErrorCode::kUsage, "--lenpen must be finite, got ", lenpen);
  // +inf is of use: it forbids <unk>.
  ELBEAM_CHECK(!std::isnan(unk_penalty) && !(std::isinf(unk_penalty) && unk_penalty < 0),
               ErrorCode::kUsage, "--unkpen must be a number above -inf, got ", unk_penalty);
  ELBEAM_CHECK(std::isfinite(temperature) && temperature > 0, ErrorCode::kUsage,
               "--temperature must be greater than 0, got ", temperature);
  validate_strategy(*this);
  validate_extensions(*this);
}

}  // namespace elbeam
