// sacrebleu/metrics/lib_ter.py. Where it follows Tercom in something arbitrary, so does this.
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "eval/edit_distance.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>

namespace elbeam::eval {
namespace {

constexpr std::int64_t kMaxMoveSize = 10;
constexpr std::int64_t kMaxMoveDistance = 50;
constexpr std::int64_t kBeamWidth = 25;
constexpr int kMaxMovesTried = 1000;
constexpr std::int64_t kInfinity = std::int64_t{1} << 50;

enum class Edit : std::uint8_t { kKeep, kSubstitute, kInsert, kDelete };

struct Cell {
  std::int64_t cost = kInfinity;
  Edit edit = Edit::kKeep;
};

// A row of the distance matrix: only columns first_column ... are known, the others are infinite.
struct Row {
  std::int64_t first_column = 0;
  std::vector<Cell> cells;

  std::int64_t cost(std::int64_t column) const noexcept {
    const std::int64_t i = column - first_column;
    return i >= 0 && i < ssize(cells.size()) ? cells[usize(i)].cost : kInfinity;
  }
};

// Edit distance to one reference, near the "diagonal" of the two lengths. (lib_ter.py keeps rows in
// a tree of all prefixes seen; rows depend on nothing but the prefix, so that is for speed alone.
// Here what is tried is compared with the current hypothesis.)
class BeamDistance {
 public:
  explicit BeamDistance(WordSpan reference) : reference_(reference) {}

  // Makes `hypothesis` the current one.
  void set(WordSpan hypothesis) {
    hypothesis_size_ = ssize(hypothesis.size());
    const std::int64_t columns = ssize(reference_.size()) + 1;
    ratio_ = hypothesis.empty()
                 ? 1.0
                 : static_cast<double>(reference_.size()) / static_cast<double>(hypothesis.size());
    // With lengths far apart the beams of neighbouring rows might not meet.
    width_ = kBeamWidth;
    if (kBeamWidth < ratio_ / 2) {
      width_ = static_cast<std::int64_t>(std::ceil(ratio_ / 2 + kBeamWidth));
    }
    rows_.resize(hypothesis.size() + 1);
    rows_[0].first_column = 0;
    rows_[0].cells.resize(usize(columns));
    for (std::int64_t j = 0; j < columns; ++j) rows_[0].cells[usize(j)] = {j, Edit::kInsert};
    for (std::size_t i = 1; i <= hypothesis.size(); ++i) {
      fill(ssize(i), hypothesis[i - 1], rows_[i - 1], rows_[i]);
    }
  }

  std::int64_t cost() const { return rows_[usize(hypothesis_size_)].cells.back().cost; }

  // The distance of another hypothesis of the same length that shares the first `common` words.
  std::int64_t cost_of(WordSpan hypothesis, std::int64_t common) {
    const Row* before = &rows_[usize(common)];
    for (std::int64_t i = common + 1; i <= hypothesis_size_; ++i) {
      Row& row = scratch_[usize(i % 2)];
      fill(i, hypothesis[usize(i - 1)], *before, row);
      before = &row;
    }
    return before->cells.back().cost;
  }

  // The edits that make the current hypothesis the reference, from the beginning.
  std::vector<Edit> trace() const {
    std::vector<Edit> edits;
    std::int64_t i = hypothesis_size_;
    std::int64_t j = ssize(reference_.size());
    while (i > 0 || j > 0) {
      const Row& row = rows_[usize(i)];
      ELBEAM_INVARIANT(row.cost(j) < kInfinity);
      const Edit edit = row.cells[usize(j - row.first_column)].edit;
      edits.push_back(edit);
      if (edit != Edit::kInsert) --i;
      if (edit != Edit::kDelete) --j;
    }
    std::reverse(edits.begin(), edits.end());
    return edits;
  }

 private:
  void fill(std::int64_t i, std::uint32_t word, const Row& before, Row& row) const {
    const std::int64_t columns = ssize(reference_.size()) + 1;
    const auto diagonal = static_cast<std::int64_t>(std::floor(static_cast<double>(i) * ratio_));
    const std::int64_t first = std::max(std::int64_t{0}, diagonal - width_);
    const std::int64_t end = i == hypothesis_size_ ? columns : std::min(columns, diagonal + width_);
    row.first_column = first;
    row.cells.resize(usize(end - first));
    std::int64_t left = kInfinity;
    for (std::int64_t j = first; j < end; ++j) {
      Cell cell;
      if (j == 0) {
        cell = {before.cost(0) + 1, Edit::kDelete};
      } else {
        // Of equal costs the first in this order.
        const bool same = word == reference_[usize(j - 1)];
        cell = {before.cost(j - 1) + (same ? 0 : 1), same ? Edit::kKeep : Edit::kSubstitute};
        const std::int64_t deleted = before.cost(j) + 1;
        if (deleted < cell.cost) cell = {deleted, Edit::kDelete};
        if (left + 1 < cell.cost) cell = {left + 1, Edit::kInsert};
        if (cell.cost > kInfinity) cell.cost = kInfinity;
      }
      left = cell.cost;
      row.cells[usize(j - first)] = cell;
    }
  }

  WordSpan reference_;
  std::int64_t hypothesis_size_ = 0;
  double ratio_ = 1;
  std::int64_t width_ = kBeamWidth;
  std::vector<Row> rows_;  // of the current hypothesis
  Row scratch_[2];
};

// Where each reference word stands in the hypothesis, and which words of either are wrong.
struct Alignment {
  std::vector<std::int64_t> position;         // of each reference word
  std::vector<std::int64_t> reference_error;  // [i]: wrong ones among the first i
  std::vector<std::int64_t> hypothesis_error;
};

Alignment align(const std::vector<Edit>& trace) {
  Alignment result{{}, {0}, {0}};
  std::int64_t position = -1;
  const auto add = [](std::vector<std::int64_t>& sums, bool wrong) {
    sums.push_back(sums.back() + (wrong ? 1 : 0));
  };
  for (const Edit edit : trace) {
    const bool wrong = edit != Edit::kKeep;
    if (edit != Edit::kInsert) {
      ++position;
      add(result.hypothesis_error, wrong);
    }
    if (edit != Edit::kDelete) {
      result.position.push_back(position);
      add(result.reference_error, wrong);
    }
  }
  return result;
}

struct Move {
  std::int64_t gain = 0;
  std::int64_t length = 0;
  std::int64_t start = 0;
  std::int64_t target = 0;

  // The greatest gain, then the longest run, then the first, then the nearest to the beginning.
  bool is_better_than(const Move& other) const {
    return std::tuple(gain, length, -start, -target) >
           std::tuple(other.gain, other.length, -other.start, -other.target);
  }
};

class ShiftSearch {
 public:
  ShiftSearch(WordSpan hypothesis, WordSpan reference)
      : words_(hypothesis.begin(), hypothesis.end()), reference_(reference), distance_(reference) {}

  std::int64_t edits() {
    std::int64_t moves = 0;
    for (;;) {
      distance_.set(words_);
      const std::optional<Move> best = best_move();
      if (tried_ >= kMaxMovesTried || !best || best->gain <= 0) break;
      perform(*best);
      words_.swap(moved_);
      ++moves;
    }
    return moves + distance_.cost();
  }

 private:
  std::optional<Move> best_move() {
    const Alignment alignment = align(distance_.trace());
    std::optional<Move> best;
    const std::int64_t size = ssize(words_.size());
    const std::int64_t reference_size = ssize(reference_.size());
    for (std::int64_t start = 0; start < size; ++start) {
      const std::int64_t first = std::max(std::int64_t{0}, start - kMaxMoveDistance);
      const std::int64_t end = std::min(reference_size, start + kMaxMoveDistance + 1);
      for (std::int64_t start_r = first; start_r < end; ++start_r) {
        for (std::int64_t length = 1; length <= kMaxMoveSize; ++length) {
          if (start + length > size || start_r + length > reference_size) break;
          if (words_[usize(start + length - 1)] != reference_[usize(start_r + length - 1)]) break;
          if (!is_worth_trying(alignment, start, start_r, length)) continue;
          try_targets(alignment, start_r, {0, length, start, 0}, best);
          if (tried_ >= kMaxMovesTried) return best;
        }
      }
    }
    return best;
  }

  // The run must be wrong where it stands, and what stands where it should be must be, too.
  static bool is_worth_trying(const Alignment& alignment, std::int64_t start, std::int64_t start_r,
                              std::int64_t length) {
    const auto errors = [length](const std::vector<std::int64_t>& sums, std::int64_t from) {
      return sums[usize(from + length)] - sums[usize(from)];
    };
    const std::int64_t position = alignment.position[usize(start_r)];
    return errors(alignment.hypothesis_error, start) > 0 &&
           errors(alignment.reference_error, start_r) > 0 &&
           !(start <= position && position < start + length);
  }

  void try_targets(const Alignment& alignment, std::int64_t start_r, Move move,
                   std::optional<Move>& best) {
    std::int64_t last = -1;
    for (std::int64_t offset = -1; offset < move.length; ++offset) {
      const std::int64_t r = start_r + offset;
      if (r >= ssize(reference_.size())) break;
      move.target = r < 0 ? 0 : alignment.position[usize(r)] + 1;
      if (move.target == last) continue;
      last = move.target;
      const std::int64_t common = perform(move);
      move.gain = distance_.cost() - distance_.cost_of(moved_, common);
      ++tried_;
      if (!best || move.is_better_than(*best)) best = move;
    }
  }

  // Writes the words after the move to moved_; returns how many at the beginning stay.
  std::int64_t perform(const Move& move) {
    const std::int64_t size = ssize(words_.size());
    const std::int64_t end = move.start + move.length;
    moved_ = words_;
    const auto at = [this](std::int64_t i) { return moved_.begin() + i; };
    if (move.target < move.start) {
      std::rotate(at(move.target), at(move.start), at(end));
      return move.target;
    }
    // Inside the run the target counts from the run's end.
    const std::int64_t target =
        move.target > end ? move.target : std::min(size, move.target + move.length);
    std::rotate(at(move.start), at(end), at(target));
    return move.start;
  }

  std::vector<std::uint32_t> words_;
  std::vector<std::uint32_t> moved_;
  WordSpan reference_;
  BeamDistance distance_;
  int tried_ = 0;
};

}  // namespace

std::int64_t translation_edits(WordSpan hypothesis, WordSpan reference) {
  if (reference.empty()) return ssize(hypothesis.size());
  return ShiftSearch(hypothesis, reference).edits();
}

}  // namespace elbeam::eval
