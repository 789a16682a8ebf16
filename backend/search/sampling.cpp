#include "search/sampling.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "search/multinomial.hpp"

#include <algorithm>
#include <cmath>

namespace elbeam::search {
namespace {

RandomStream* stream_of(const DecodeRequest& request) {
  if (request.options.counter_draws) return nullptr;
  ELBEAM_CHECK(request.random != nullptr, ErrorCode::kUsage,
               "sampling needs a random stream (GenerateRequest::random)");
  return request.random;
}

}  // namespace

Sampling::Sampling(const DecodeRequest& request, const DecodePlan& plan)
    : request_(request),
      topk_(request.options.sampling_topk),
      topp_(static_cast<float>(request.options.sampling_topp)),
      random_(stream_of(request)) {
  ELBEAM_CHECK(topp_ > 0 || topk_ <= plan.vocab, ErrorCode::kUsage, "--sampling-topk ", topk_,
               " is above the vocabulary's size of ", plan.vocab);
  rows_.resize(usize(plan.max_rows));
}

void Sampling::begin_step(const BatchStep& step) {
  const std::int64_t rows = ssize(step.scores.size());
  std::int64_t width = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto log_probs = step.log_probs.subspan(usize(i * step.vocab), usize(step.vocab));
    Row& row = rows_[usize(i)];
    if (topp_ > 0) {
      keep_nucleus(log_probs, row);
    } else if (topk_ > 0) {
      keep_most_probable(log_probs, row);
    } else {
      keep_all(log_probs, row);
    }
    width = std::max(width, ssize(row.probabilities.size()));
  }
  draw(step, width);
}

void Sampling::keep_all(std::span<const float> log_probs, Row& row) const {
  row.probabilities.resize(log_probs.size());
  std::transform(log_probs.begin(), log_probs.end(), row.probabilities.begin(),
                 [](float value) { return std::exp(value); });
}

void Sampling::keep_most_probable(std::span<const float> log_probs, Row& row) {
  const float nothing = -0.0F;
  const auto best = topk({log_probs, {&nothing, 1}, ssize(log_probs.size())}, topk_, ranking_);
  row.probabilities.clear();
  row.tokens.clear();
  for (const ScoredIndex& element : best) {
    row.probabilities.push_back(std::exp(element.score));
    row.tokens.push_back(element.index);
  }
}

// The most probable tokens up to the one with which the sum reaches p. The order of equal
// probabilities is that of libstdc++'s std::sort, which torch's sort uses below 32,768 elements
// (docs/decisions/row-order.md). Sums are doubles that are rounded to float32: torch.cumsum.
void Sampling::keep_nucleus(std::span<const float> log_probs, Row& row) {
  ranking_.clear();
  for (std::size_t i = 0; i < log_probs.size(); ++i) {
    ranking_.push_back({std::exp(log_probs[i]), ssize(i)});
  }
  std::sort(ranking_.begin(), ranking_.end(),
            [](const ScoredIndex& x, const ScoredIndex& y) { return x.score > y.score; });
  row.probabilities.clear();
  row.tokens.clear();
  double sum = 0.0;
  for (const ScoredIndex& element : ranking_) {
    row.probabilities.push_back(element.score);
    row.tokens.push_back(element.index);
    sum += static_cast<double>(element.score);
    if (!(static_cast<float>(sum) < topp_)) break;
  }
}

void Sampling::draw(const BatchStep& step, std::int64_t width) {
  drawn_.clear();
  proposed_ = 0;
  const std::int64_t rows = ssize(step.scores.size());
  const std::int64_t per_row = step.beam / step.rows_per_sentence;
  for (std::int64_t i = 0; i < rows; ++i) {
    Row& row = rows_[usize(i)];
    const Candidate base{step.scores[usize(i)], 0, i % step.rows_per_sentence};
    if (random_ == nullptr) {
      const std::int64_t sentence = step.sentences[usize(i / step.rows_per_sentence)];
      const std::uint32_t id = sentence_id(request_, sentence);
      for (std::int64_t d = 0; d < per_row; ++d) {
        add_candidate(row,
                      draw_by_counter(row, {{0, static_cast<std::uint32_t>(step.step),
                                             static_cast<std::uint32_t>(base.row + d), id}}),
                      base);
      }
      continue;
    }
    if (per_row == 1) {
      add_candidate(row, draw_one(row.probabilities, width, *random_), base);
      continue;
    }
    samples_.resize(usize(per_row));
    draw_several(row.probabilities, *random_, samples_, cumulative_);
    for (const std::int64_t sample : samples_) add_candidate(row, sample, base);
  }
}

// As backend/kernels/core/sample.hpp: the token with the greatest probability / e_i, with
// exponentially distributed e_i.
std::int64_t Sampling::draw_by_counter(const Row& row, const PhiloxWords& place) const {
  const bool all = topp_ <= 0 && topk_ <= 0;
  std::int64_t best = -1;
  std::int64_t best_token = -1;
  float best_value = 0.0F;
  PhiloxWords counter = place;
  PhiloxWords random{};
  std::int64_t drawn = -1;  // of which four tokens `random` is
  for (std::int64_t i = 0; i < ssize(row.probabilities.size()); ++i) {
    const float probability = row.probabilities[usize(i)];
    if (!(probability > 0.0F)) continue;
    const std::int64_t token = all ? i : row.tokens[usize(i)];
    if (token / 4 != drawn) {
      drawn = token / 4;
      counter.word[0] = static_cast<std::uint32_t>(drawn);
      random = philox(request_.options.draw_seed, counter);
    }
    const float value = probability / -std::log1p(-unit_interval(random.word[token % 4]));
    if (value > best_value || (value == best_value && token < best_token)) {
      best = i;
      best_token = token;
      best_value = value;
    }
  }
  check_any_possible(best >= 0);
  return best;
}

void Sampling::add_candidate(const Row& row, std::int64_t sample, const Candidate& base) {
  const float score = std::log(row.probabilities[usize(sample)]);
  const bool all = topp_ <= 0 && topk_ <= 0;
  drawn_.push_back({score + base.score, all ? sample : row.tokens[usize(sample)], base.row});
}

void Sampling::propose(const SentenceStep& step, std::vector<Candidate>& candidates) {
  const auto first = drawn_.begin() + ssize(proposed_);
  candidates.assign(first, first + step.beam);
  proposed_ += usize(step.beam);
}

}  // namespace elbeam::search
