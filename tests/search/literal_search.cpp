#include "literal_search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace elbeam::search {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

using Matrix = std::vector<std::vector<float>>;
using IdMatrix = std::vector<std::vector<std::int64_t>>;

struct AssertionFailed {};

void python_assert(bool condition) {
  if (!condition) throw AssertionFailed{};
}

std::vector<std::pair<float, std::int64_t>> torch_topk(const std::vector<float>& values,
                                                       std::int64_t k) {
  std::vector<std::pair<float, std::int64_t>> queue;
  for (const float value : values) queue.emplace_back(value, ssize(queue.size()));
  const auto greater = [](const auto& x, const auto& y) {
    return (std::isnan(x.first) && !std::isnan(y.first)) || x.first > y.first;
  };
  if (k * 64 <= ssize(queue.size())) {
    std::partial_sort(queue.begin(), queue.begin() + k, queue.end(), greater);
  } else {
    std::nth_element(queue.begin(), queue.begin() + k - 1, queue.end(), greater);
    std::sort(queue.begin(), queue.begin() + k - 1, greater);
  }
  queue.resize(usize(k));
  return queue;
}

class Literal {
 public:
  Literal(const LiteralInput& input, const DecodeRequest& request)
      : input_(input), request_(request), options_(request.options) {
    bsz_ = ssize(request.batch->sentences.size());
    beam_ = std::min(options_.beam, input.vocab - 1);
    max_len_ = std::min(static_cast<std::int64_t>(
                            options_.max_len_a * static_cast<double>(request.batch->padded_length) +
                            options_.max_len_b),
                        input.max_positions - 1);
    python_assert(options_.min_len <= max_len_);
    for (std::int64_t i = 0; i < bsz_; ++i)
      encoder_out_.insert(encoder_out_.end(), usize(beam_), i);
    scores_.assign(usize(bsz_ * beam_), std::vector<float>(usize(max_len_ + 1), 0.0F));
    tokens_.assign(usize(bsz_ * beam_), std::vector<std::int64_t>(usize(max_len_ + 2), 1));
    for (auto& row : tokens_) row[0] = request.special.eos;
    ignore_.assign(usize(bsz_), std::vector<bool>(usize(beam_), false));
    finalized_.resize(usize(bsz_));
    finished_.assign(usize(bsz_), false);
    for (const auto& prefix : request.prefix_tokens)
      width_ = std::max(width_, ssize(prefix.size()));
    prefix_ = request.prefix_tokens;
    for (auto& prefix : prefix_) prefix.resize(usize(width_), request.special.pad);
  }

  std::vector<std::vector<FinishedHypothesis>> run() {
    std::int64_t remaining = bsz_;
    for (std::int64_t step = 0; step <= max_len_; ++step) {
      forward_decoder(step);
      rules(step);
      search_step(step);
      const std::vector<std::int64_t> done = finalize(step);
      remaining -= ssize(done.size());
      if (remaining == 0) break;
      python_assert(step < max_len_);
      if (!done.empty()) remove(done);
      choose(step);
    }
    for (auto& hypotheses : finalized_) {
      std::stable_sort(hypotheses.begin(), hypotheses.end(),
                       [](const auto& x, const auto& y) { return x.score > y.score; });
    }
    return finalized_;
  }

 private:
  void forward_decoder(std::int64_t step) {
    lprobs_.clear();
    for (std::size_t row = 0; row < tokens_.size(); ++row) {
      std::vector<float> out(usize(input_.vocab));
      const std::vector<std::int64_t> history(tokens_[row].begin() + 1,
                                              tokens_[row].begin() + 1 + step);
      input_.script({request_.batch->sentences[usize(encoder_out_[row])], history}, out);
      for (float& value : out) value /= static_cast<float>(options_.temperature);
      lprobs_.push_back(out);
    }
  }

  void rules(std::int64_t step) {
    const SpecialTokens& special = request_.special;
    for (auto& row : lprobs_) {
      for (float& value : row) {
        if (value != value) value = -kInf;
      }
      row[usize(special.pad)] = -kInf;
      row[usize(special.unk)] -= static_cast<float>(options_.unk_penalty);
      if (step < max_len_) continue;
      for (std::int64_t v = 0; v < input_.vocab; ++v) {
        if (v != special.eos) row[usize(v)] = -kInf;
      }
    }
    if (step < width_ && step < max_len_) {
      prefix_rules(step);
    } else if (step < options_.min_len) {
      for (auto& row : lprobs_) row[usize(special.eos)] = -kInf;
    }
  }

  void prefix_rules(std::int64_t step) {
    for (std::int64_t row = 0; row < bsz_ * beam_; ++row) {
      const std::int64_t forced = prefix_[usize(row / beam_)][usize(step)];
      if (forced == request_.special.pad) continue;
      std::vector<float> masked(usize(input_.vocab), -kInf);
      masked[usize(forced)] = lprobs_[usize(row)][usize(forced)];
      lprobs_[usize(row)] = masked;
    }
    for (std::int64_t sentence = 0; sentence < bsz_; ++sentence) {
      if (prefix_[usize(sentence)][usize(step)] != request_.special.eos) continue;
      const std::size_t first = usize(sentence * beam_);
      for (std::int64_t i = 0; i < step; ++i) {
        python_assert(tokens_[first][usize(i + 1)] == prefix_[usize(sentence)][usize(i)]);
      }
      for (std::size_t row = first; row < first + usize(beam_); ++row) {
        tokens_[row] = tokens_[first];
        scores_[row] = scores_[first];
        lprobs_[row] = lprobs_[first];
      }
    }
  }

  void search_step(std::int64_t step) {
    cand_scores_.clear();
    cand_indices_.clear();
    cand_beams_.clear();
    for (std::int64_t sentence = 0; sentence < bsz_; ++sentence) {
      std::vector<float> flat;
      for (std::int64_t b = 0; b < (step == 0 ? 1 : beam_); ++b) {
        const std::size_t row = usize(sentence * beam_ + b);
        for (const float value : lprobs_[row]) {
          flat.push_back(step == 0 ? value : value + scores_[row][usize(step - 1)]);
        }
      }
      cand_scores_.emplace_back();
      cand_indices_.emplace_back();
      cand_beams_.emplace_back();
      for (const auto& [score, index] :
           torch_topk(flat, std::min(2 * beam_, ssize(flat.size()) - 1))) {
        cand_scores_.back().push_back(score);
        cand_indices_.back().push_back(index % input_.vocab);
        cand_beams_.back().push_back(index / input_.vocab);
      }
    }
  }

  // Returns the finished sentences, as numbers in the current batch.
  std::vector<std::int64_t> finalize(std::int64_t step) {
    std::vector<std::int64_t> done;
    eos_mask_.clear();
    std::vector<std::int64_t> original;  // numbers in the first batch
    for (std::int64_t i = 0; i < ssize(finished_.size()); ++i) {
      if (!finished_[usize(i)]) original.push_back(i);
    }
    for (std::int64_t sentence = 0; sentence < bsz_; ++sentence) {
      const std::size_t s = usize(sentence);
      eos_mask_.emplace_back();
      for (std::size_t c = 0; c < cand_scores_[s].size(); ++c) {
        eos_mask_[s].push_back(cand_indices_[s][c] == request_.special.eos &&
                               cand_scores_[s][c] != -kInf);
        if (c < usize(beam_) && ignore_[s][c]) eos_mask_[s][c] = false;
      }
      auto& hypotheses = finalized_[usize(original[s])];
      bool any = false;
      for (std::size_t c = 0; c < usize(beam_); ++c) {
        if (!eos_mask_[s][c]) continue;
        any = true;
        if (ssize(hypotheses.size()) < beam_) {
          hypotheses.push_back(
              hypothesis(usize(sentence * beam_ + cand_beams_[s][c]), cand_scores_[s][c], step));
        }
      }
      if (any && (ssize(hypotheses.size()) == beam_ || step == max_len_)) done.push_back(sentence);
    }
    for (const std::int64_t sentence : done) finished_[usize(original[usize(sentence)])] = true;
    return done;
  }

  FinishedHypothesis hypothesis(std::size_t row, float eos_score, std::int64_t step) const {
    FinishedHypothesis result;
    result.tokens.assign(tokens_[row].begin() + 1, tokens_[row].begin() + step + 2);
    result.tokens[usize(step)] = request_.special.eos;
    std::vector<float> cumulative(scores_[row].begin(), scores_[row].begin() + step + 1);
    cumulative[usize(step)] = eos_score;
    result.positional_scores = cumulative;
    for (std::size_t i = 1; i < cumulative.size(); ++i) {
      result.positional_scores[i] = cumulative[i] - cumulative[i - 1];
    }
    result.score = eos_score;
    if (options_.normalize_scores) {
      result.score /= static_cast<float>(std::pow(static_cast<double>(step + 1), options_.lenpen));
    }
    return result;
  }

  template <typename T>
  static void keep(std::vector<T>& rows, const std::vector<std::int64_t>& done, std::int64_t each) {
    std::vector<T> kept;
    for (std::int64_t row = 0; row < ssize(rows.size()); ++row) {
      if (std::find(done.begin(), done.end(), row / each) == done.end()) {
        kept.push_back(rows[usize(row)]);
      }
    }
    rows = kept;
  }

  void remove(const std::vector<std::int64_t>& done) {
    keep(eos_mask_, done, 1);
    keep(cand_beams_, done, 1);
    keep(cand_scores_, done, 1);
    keep(cand_indices_, done, 1);
    if (!prefix_.empty()) keep(prefix_, done, 1);
    keep(ignore_, done, 1);
    keep(scores_, done, beam_);
    keep(tokens_, done, beam_);
    keep(encoder_out_, done, beam_);
    bsz_ -= ssize(done.size());
  }

  void choose(std::int64_t step) {
    Matrix new_scores;
    IdMatrix new_tokens;
    std::vector<std::int64_t> new_encoder_out;
    for (std::size_t s = 0; s < usize(bsz_); ++s) {
      const std::int64_t cand_size = 2 * beam_;
      std::vector<std::pair<std::int64_t, std::int64_t>> active;  // value, candidate
      for (std::int64_t c = 0; c < ssize(eos_mask_[s].size()); ++c) {
        bool masked = eos_mask_[s][usize(c)];
        if (c < beam_) masked = masked || ignore_[s][usize(c)];
        active.emplace_back((masked ? cand_size : 0) + c, c);
      }
      std::sort(active.begin(), active.end());
      bool any_alive = false;
      for (std::int64_t b = 0; b < beam_; ++b) {
        const auto [value, c] = active[usize(b)];
        ignore_[s][usize(b)] = value >= cand_size;
        any_alive = any_alive || value < cand_size;
        const std::size_t row = s * usize(beam_) + usize(cand_beams_[s][usize(c)]);
        new_scores.push_back(scores_[row]);
        new_scores.back()[usize(step)] = cand_scores_[s][usize(c)];
        new_tokens.push_back(tokens_[row]);
        new_tokens.back()[usize(step + 1)] = cand_indices_[s][usize(c)];
        new_encoder_out.push_back(encoder_out_[row]);
      }
      python_assert(any_alive);
    }
    scores_ = new_scores;
    tokens_ = new_tokens;
    encoder_out_ = new_encoder_out;
  }

  const LiteralInput& input_;
  const DecodeRequest& request_;
  const SearchOptions& options_;
  std::int64_t bsz_ = 0;
  std::int64_t beam_ = 0;
  std::int64_t max_len_ = 0;
  std::int64_t width_ = 0;
  IdMatrix prefix_;
  std::vector<std::int64_t> encoder_out_;  // sentence of each row
  Matrix scores_;
  IdMatrix tokens_;
  std::vector<std::vector<bool>> ignore_;
  std::vector<std::vector<FinishedHypothesis>> finalized_;
  std::vector<bool> finished_;
  Matrix lprobs_;
  Matrix cand_scores_;
  IdMatrix cand_indices_;
  IdMatrix cand_beams_;
  std::vector<std::vector<bool>> eos_mask_;
};

}  // namespace

std::optional<std::vector<std::vector<FinishedHypothesis>>> literal_search(
    const LiteralInput& input, const DecodeRequest& request) {
  try {
    return Literal(input, request).run();
  } catch (const AssertionFailed&) {
    return std::nullopt;
  }
}

}  // namespace elbeam::search
