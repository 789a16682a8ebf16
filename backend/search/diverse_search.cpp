#include "search/diverse_search.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>
#include <cmath>

namespace elbeam::search {

DiverseBeamSearch::DiverseBeamSearch(const DecodeRequest& request, const DecodePlan& plan)
    : groups_(request.options.diverse_groups),
      strength_(static_cast<float>(-request.options.diverse_strength)),
      cumulative_(request.options.diverse_cumulative),
      ids_(request.diversity_ids),
      chosen_(usize(groups_)),
      penalties_(usize(plan.vocab), 0.0F) {
  ELBEAM_CHECK(ids_.empty() || ssize(ids_.size()) == plan.sentences, ErrorCode::kUsage,
               "diversity_ids: expected one for each of ", plan.sentences, " sentences, got ",
               ids_.size());
  for (const std::int64_t id : ids_) {
    ELBEAM_CHECK(id >= 0 && id < plan.sentences, ErrorCode::kUsage, "diversity_ids: ", id,
                 " is outside the batch of ", plan.sentences, " sentences");
  }
  if (cumulative_) {
    overlap_.resize(usize(checked_mul(plan.sentences, checked_mul(groups_, groups_))));
  }
}

// Where the sentence's overlaps are kept.
std::int64_t DiverseBeamSearch::slot(const SentenceStep& step) const {
  return step.step == 0 || ids_.empty() ? step.sentence : ids_[usize(step.sentence)];
}

float& DiverseBeamSearch::overlap(std::int64_t slot, std::int64_t group, std::int64_t other) {
  return overlap_[usize((slot * groups_ + group) * groups_ + other)];
}

void DiverseBeamSearch::propose(const SentenceStep& step, std::vector<Candidate>& candidates) {
  for (std::int64_t group = 0; group < groups_; ++group) {
    collect_penalties(step, group);
    choose_group(step, group);
    for (const std::int64_t token : penalised_) penalties_[usize(token)] = 0.0F;
  }
  candidates.clear();
  for (std::size_t rank = 0; rank < chosen_.front().size(); ++rank) {
    for (const std::vector<Candidate>& group : chosen_) candidates.push_back(group[rank]);
  }
  if (cumulative_) update_overlap(step);
}

void DiverseBeamSearch::collect_penalties(const SentenceStep& step, std::int64_t group) {
  penalised_.clear();
  for (std::int64_t other = 0; other < group; ++other) {
    const bool has_past = cumulative_ && step.step > 0;
    const float penalty = has_past ? 1.0F + overlap(slot(step), group, other) : 1.0F;
    for (const Candidate& candidate : chosen_[usize(other)]) {
      if (penalties_[usize(candidate.token)] == 0.0F) penalised_.push_back(candidate.token);
      penalties_[usize(candidate.token)] += penalty;
    }
  }
}

// Penalises the group's rows, lets it choose, and takes the penalty back: in the first step all
// groups share one row.
void DiverseBeamSearch::choose_group(const SentenceStep& step, std::int64_t group) {
  const bool first = step.step == 0;
  const std::int64_t members = step.beam / groups_;
  const std::int64_t first_row = first ? 0 : group;
  group_scores_.clear();
  saved_.clear();
  for (std::int64_t member = 0; member < (first ? 1 : members); ++member) {
    const std::int64_t row = first_row + member * groups_;
    group_scores_.push_back(step.scores[usize(row)]);
    for (const std::int64_t token : penalised_) {
      float& log_prob = step.log_probs[usize(row * step.vocab + token)];
      saved_.push_back(log_prob);
      // torch.add(.., alpha) multiplies and adds in one rounding.
      log_prob = std::fma(penalties_[usize(token)], strength_, log_prob);
    }
  }
  const OffsetRows rows{step.log_probs.subspan(usize(first_row * step.vocab)), group_scores_,
                        step.vocab, step.vocab * groups_};
  std::vector<Candidate>& chosen = chosen_[usize(group)];
  best_candidates(rows, (cumulative_ ? 1 : 2) * members, workspace_, chosen);
  for (Candidate& candidate : chosen) candidate.row = first_row + candidate.row * groups_;
  std::size_t next = 0;
  for (std::int64_t member = 0; member < ssize(group_scores_.size()); ++member) {
    const std::int64_t row = first_row + member * groups_;
    for (const std::int64_t token : penalised_) {
      step.log_probs[usize(row * step.vocab + token)] = saved_[next++];
    }
  }
}

void DiverseBeamSearch::update_overlap(const SentenceStep& step) {
  for (std::int64_t group = 0; group < groups_; ++group) {
    for (std::int64_t other = 0; other < group; ++other) {
      const std::vector<Candidate>& a = chosen_[usize(group)];
      const std::vector<Candidate>& b = chosen_[usize(other)];
      std::int64_t same = 0;
      for (std::size_t rank = 0; rank < a.size(); ++rank) same += a[rank].token == b[rank].token;
      overlap(slot(step), group, other) += static_cast<float>(same);
    }
  }
}

void DiverseSiblingsSearch::propose(const SentenceStep& step, std::vector<Candidate>& candidates) {
  if (step.step == 0) {
    best_candidates({step.log_probs, step.scores, step.vocab}, 2 * step.beam, workspace_,
                    candidates);
    return;
  }
  const std::int64_t rows = ssize(step.scores.size());
  const std::int64_t count = std::min(2 * step.beam, rows * step.vocab - 1);
  // fairseq stops with an error where a hypothesis has fewer extensions than `count`.
  const std::int64_t siblings = std::min(count, step.vocab);
  sibling_scores_.clear();
  sibling_tokens_.clear();
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto log_probs = step.log_probs.subspan(usize(row * step.vocab), usize(step.vocab));
    float rank = 0.0F;
    for (const ScoredIndex& best :
         topk({log_probs, step.scores.subspan(usize(row), 1), step.vocab}, siblings, workspace_)) {
      rank += 1.0F;
      const float penalty = rank * rate_;
      sibling_scores_.push_back(best.score - penalty);
      sibling_tokens_.push_back(best.index);
    }
  }
  no_offsets_.assign(usize(rows), -0.0F);
  candidates.clear();
  for (const ScoredIndex& best : topk({sibling_scores_, no_offsets_, siblings},
                                      std::min(count, rows * siblings), workspace_)) {
    candidates.push_back({best.score, sibling_tokens_[usize(best.index)], best.index / siblings});
  }
}

}  // namespace elbeam::search
