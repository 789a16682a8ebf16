#include "search/decode_plan.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace elbeam::search {
namespace {

void check_special_tokens(const SpecialTokens& special, std::int64_t vocab) {
  for (const auto& [name, id] : {std::pair<const char*, std::int64_t>{"pad", special.pad},
                                 {"eos", special.eos},
                                 {"unk", special.unk}}) {
    ELBEAM_CHECK(id >= 0 && id < vocab, ErrorCode::kModel, "the id ", id, " of ", name,
                 " is outside the model's vocabulary of ", vocab, " symbols");
  }
  ELBEAM_CHECK(
      special.pad != special.eos && special.pad != special.unk && special.eos != special.unk,
      ErrorCode::kModel, "pad, eos and unk need three different ids, got ", special.pad, ", ",
      special.eos, " and ", special.unk);
}

// fairseq's src_lengths. Its main branch takes the lengths of the data, 0.12.2 counts tokens.
std::vector<std::int64_t> source_lengths(const DecodeRequest& request) {
  std::vector<std::int64_t> lengths;
  for (const auto& sentence : request.batch->sentences) {
    if (request.options.source_length_counts_eos) {
      lengths.push_back(ssize(sentence.size()));
    } else {
      lengths.push_back(std::count_if(sentence.begin(), sentence.end(), [&](std::int64_t token) {
        return token != request.special.eos && token != request.special.pad;
      }));
    }
  }
  return lengths;
}

void check_tokens(const SearchOptions& options, std::int64_t vocab) {
  for (const auto& sequence : options.suppressed_sequences) {
    for (const std::int64_t token : sequence) {
      ELBEAM_CHECK(token >= 0 && token < vocab, ErrorCode::kUsage, "suppressed sequence: token ",
                   token, " is outside the vocabulary of ", vocab);
    }
  }
}

void check_strategy(const DecodeRequest& request, const DecodePlan& plan) {
  const SearchOptions& options = request.options;
  ELBEAM_CHECK(
      options.strategy != Strategy::kDiverseBeam || plan.beam % options.diverse_groups == 0,
      ErrorCode::kUsage,
      "DiverseBeamSearch requires --beam to be divisible by the number of groups; the beam "
      "is ",
      plan.beam, ", there are ", options.diverse_groups, " groups");
  const bool takes_constraints = options.strategy == Strategy::kConstrainedOrdered ||
                                 options.strategy == Strategy::kConstrainedUnordered;
  ELBEAM_CHECK(request.constraints.empty() || takes_constraints, ErrorCode::kUsage,
               "Target-side constraints were provided, but search method doesn't support them");
}

}  // namespace

std::int64_t max_target_length(const SearchOptions& options, std::int64_t padded_source_length,
                               std::int64_t max_decoder_positions) {
  const double wanted =
      options.max_len_a * static_cast<double>(padded_source_length) + options.max_len_b;
  ELBEAM_CHECK(!std::isnan(wanted), ErrorCode::kUsage, "max_len_a and max_len_b must be numbers");
  const std::int64_t cap = max_decoder_positions - 1;
  // Compared as doubles first: `wanted` may be beyond every integer.
  const std::int64_t max_len =
      wanted >= static_cast<double>(cap) ? cap : static_cast<std::int64_t>(std::max(wanted, -1e18));
  ELBEAM_CHECK(max_len >= 0 && options.min_len <= max_len, ErrorCode::kUsage,
               "min_len cannot be larger than max_len, please adjust these! min_len is ",
               options.min_len, ", max_len is ", max_len, " (max_len_a ", options.max_len_a, " * ",
               padded_source_length, " + max_len_b ", options.max_len_b, ", at most ", cap, ")");
  return max_len;
}

DecodePlan make_plan(const StepModel& model, const DecodeRequest& request) {
  ELBEAM_CHECK(request.batch != nullptr, ErrorCode::kUsage, "decode: there is no batch");
  request.options.validate();
  DecodePlan plan;
  plan.sentences = ssize(request.batch->sentences.size());
  plan.places = request.places > 0 ? std::min(request.places, plan.sentences) : plan.sentences;
  plan.vocab = model.vocab_size();
  ELBEAM_CHECK(plan.vocab <= std::numeric_limits<std::int32_t>::max(), ErrorCode::kLimit,
               "a vocabulary of ", plan.vocab, " symbols is too large");
  check_special_tokens(request.special, plan.vocab);
  // One less than the vocabulary, since pad is never chosen (SequenceGenerator.__init__).
  plan.beam = std::min(request.options.beam, plan.vocab - 1);
  ELBEAM_CHECK(plan.beam <= limits::kMaxBeam, ErrorCode::kLimit, "a beam of ", plan.beam,
               " is above the limit of ", limits::kMaxBeam);
  check_strategy(request, plan);
  check_tokens(request.options, plan.vocab);
  ELBEAM_CHECK(request.sentence_ids.empty() || ssize(request.sentence_ids.size()) == plan.sentences,
               ErrorCode::kUsage, "expected a number for each of ", plan.sentences,
               " sentences, got ", request.sentence_ids.size());
  plan.wanted = static_cast<std::int64_t>(
      std::min(std::ceil(request.options.patience * static_cast<double>(plan.beam)), 1e9));
  plan.attention = request.attention || request.options.coverage_penalty > 0;
  const SourceBatch& batch = *request.batch;
  const bool mixed = !batch.padded_lengths.empty();
  ELBEAM_CHECK(!mixed || ssize(batch.padded_lengths.size()) == plan.sentences, ErrorCode::kUsage,
               "expected one padded length for each of ", plan.sentences, " sentences, got ",
               batch.padded_lengths.size());
  for (std::size_t s = 0; s < batch.sentences.size(); ++s) {
    const std::int64_t padded = mixed ? batch.padded_lengths[s] : batch.padded_length;
    ELBEAM_CHECK(ssize(batch.sentences[s].size()) <= padded && padded <= batch.padded_length,
                 ErrorCode::kUsage, "the padded length of the batch, ", padded,
                 ", is below the length of a sentence, ", batch.sentences[s].size(),
                 ", or above the largest, ", batch.padded_length);
    plan.source_width = std::max(plan.source_width, ssize(batch.sentences[s].size()));
  }
  SearchOptions lengths = request.options;
  if (request.options.strategy == Strategy::kLengthConstrained && plan.sentences > 0) {
    plan.source_lengths = source_lengths(request);
    lengths.max_len_a = 0;
    lengths.max_len_b = static_cast<double>(*std::ranges::max_element(plan.source_lengths));
  }
  // Largest first: an option that is wrong for one sentence is told of the whole batch.
  plan.max_len = max_target_length(lengths, batch.padded_length, model.max_decoder_positions());
  plan.max_lens.assign(usize(plan.sentences), plan.max_len);
  for (std::size_t s = 0; mixed && s < plan.max_lens.size(); ++s) {
    plan.max_lens[s] =
        max_target_length(lengths, batch.padded_lengths[s], model.max_decoder_positions());
    plan.max_len = std::max(plan.max_len, plan.max_lens[s]);
  }
  ELBEAM_CHECK(plan.max_len <= limits::kMaxSequenceLength, ErrorCode::kLimit, "outputs of up to ",
               plan.max_len, " tokens are above the limit of ", limits::kMaxSequenceLength);
  plan.max_rows = checked_mul(plan.places, plan.beam);
  const std::int64_t bytes =
      checked_mul(checked_mul(plan.max_rows, plan.vocab), std::int64_t{sizeof(float)});
  ELBEAM_CHECK(bytes <= limits::kMaxLogProbBytes, ErrorCode::kLimit, plan.places,
               " sentences with a beam of ", plan.beam, " and ", plan.vocab, " symbols need ",
               bytes, " bytes for one step, the limit is ", limits::kMaxLogProbBytes);
  return plan;
}

}  // namespace elbeam::search
