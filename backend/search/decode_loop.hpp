// The generation loop of fairseq's SequenceGenerator._generate over any StepModel.
#pragma once

#include <elbeam/options.hpp>
#include <elbeam/prefix_trie.hpp>
#include <elbeam/random.hpp>
#include <elbeam/step_model.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace elbeam::search {

struct FinishedHypothesis {
  std::vector<std::int64_t> tokens;  // last is eos
  float score = 0.0F;
  std::vector<float> positional_scores;
  // [tokens][source tokens of the sentence] with DecodeRequest::attention, else empty.
  std::vector<std::vector<float>> attention{};
};

struct DecodeRequest {
  const SourceBatch* batch = nullptr;
  SearchOptions options;
  SpecialTokens special;
  std::vector<std::vector<std::int64_t>> prefix_tokens;  // empty, or one per sentence
  // Per sentence the sequences that must occur; empty, or one list per sentence.
  std::vector<std::vector<std::vector<std::int64_t>>> constraints{};
  std::vector<std::int64_t> diversity_ids{};  // for kDiverseBeam: see GenerateRequest
  std::vector<std::int64_t> sentence_ids{};   // for SearchOptions::counter_draws: the same
  AllowedTokens allowed_tokens{};             // for kPrefixConstrained
  std::optional<std::int64_t> start_token{};  // eos
  bool attention = false;
  // For a device, which then begins other sentences in the places of those that have ended: see
  // GenerateRequest.
  std::int64_t places = 0;
  std::int64_t source_tokens = 0;
  std::function<void(std::int64_t sentence, const std::vector<FinishedHypothesis>&)> finished{};
  RandomStream* random = nullptr;  // for kSampling; goes on from batch to batch
  bool (*cancelled)() =
      nullptr;  // polled once a step; true makes decode() throw Error(kInterrupted)
};

// The number that a sentence of the batch draws by (SearchOptions::counter_draws).
inline std::uint32_t sentence_id(const DecodeRequest& request, std::int64_t sentence) {
  return static_cast<std::uint32_t>(request.sentence_ids.empty()
                                        ? sentence
                                        : request.sentence_ids[static_cast<std::size_t>(sentence)]);
}

struct DecodeCounters {
  std::int64_t steps = 0;
  std::int64_t rows = 0;
};

struct DecodeResult {
  std::vector<std::vector<FinishedHypothesis>>
      sentences;  // best first, all that finished (<= beam)
  DecodeCounters counters;
};

// max_len of fairseq: min(int(a * padded_length + b), max_decoder_positions - 1). Throws
// Error(kUsage) when it is below min_len or negative.
std::int64_t max_target_length(const SearchOptions& options, std::int64_t padded_source_length,
                               std::int64_t max_decoder_positions);

DecodeResult decode(StepModel& model, const DecodeRequest& request);

}  // namespace elbeam::search
