#include "eval/common_subsequence.hpp"

#include "base/checked_math.hpp"

#include <algorithm>
#include <cmath>

namespace elbeam::eval {
namespace {

// A table larger than this is kept in part, and its rows are computed once more on the way back.
constexpr std::size_t kMaxCells = std::size_t{1} << 22;

struct Plain {
  using Cell = std::int32_t;

  Cell match(const Cell& diagonal) const noexcept { return diagonal + 1; }
  Cell differ(const Cell& better) const noexcept { return better; }
  std::int32_t value(const Cell& cell) const noexcept { return cell; }
};

struct Weighted {
  struct Cell {
    double value = 0;
    std::int32_t run = 0;  // of words that match up to here
  };

  Cell match(const Cell& diagonal) const {
    const double run = diagonal.run;
    return {diagonal.value + std::pow(run + 1, weight) - std::pow(run, weight), diagonal.run + 1};
  }
  Cell differ(const Cell& better) const noexcept { return {better.value, 0}; }
  double value(const Cell& cell) const noexcept { return cell.value; }

  double weight;
};

template <typename Kind>
class Marker {
 public:
  Marker(WordSpan reference, WordSpan candidate, const Kind& kind)
      : reference_(reference),
        candidate_(candidate),
        kind_(kind),
        columns_(candidate.size() + 1),
        rows_at_once_(std::max<std::size_t>(1, kMaxCells / columns_)) {}

  void mark(std::vector<char>& hits) {
    const std::size_t rows = reference_.size();
    const std::size_t blocks = (rows + rows_at_once_ - 1) / rows_at_once_;
    // First down through all blocks, keeping the row above each.
    table_.assign((std::min(rows, rows_at_once_) + 1) * columns_, {});
    std::vector<std::vector<Cell>> above(blocks);
    for (std::size_t block = 0; block < blocks; ++block) {
      above[block].assign(table_.begin(), table_.begin() + ssize(columns_));
      const std::size_t size = fill(block);
      if (block + 1 == blocks) break;
      std::copy_n(table_.begin() + ssize(size * columns_), columns_, table_.begin());
    }
    std::size_t column = candidate_.size();
    for (std::size_t block = blocks; block-- > 0 && column > 0;) {
      if (block + 1 < blocks) {
        std::copy(above[block].begin(), above[block].end(), table_.begin());
        fill(block);
      }
      column = walk_back(block, column, hits);
    }
  }

 private:
  using Cell = typename Kind::Cell;

  std::size_t size_of(std::size_t block) const {
    return std::min(rows_at_once_, reference_.size() - block * rows_at_once_);
  }

  // Rows 1 ... of the block, from row 0; returns how many.
  std::size_t fill(std::size_t block) {
    const std::size_t size = size_of(block);
    for (std::size_t i = 1; i <= size; ++i) {
      const std::uint32_t word = reference_[block * rows_at_once_ + i - 1];
      const Cell* before = &table_[(i - 1) * columns_];
      Cell* row = &table_[i * columns_];
      row[0] = {};
      for (std::size_t j = 1; j < columns_; ++j) {
        if (word == candidate_[j - 1]) {
          row[j] = kind_.match(before[j - 1]);
        } else {
          const bool up = kind_.value(before[j]) >= kind_.value(row[j - 1]);
          row[j] = kind_.differ(up ? before[j] : row[j - 1]);
        }
      }
    }
    return size;
  }

  std::size_t walk_back(std::size_t block, std::size_t j, std::vector<char>& hits) const {
    const std::size_t first = block * rows_at_once_;
    for (std::size_t i = size_of(block); i > 0 && j > 0;) {
      if (reference_[first + i - 1] == candidate_[j - 1]) {
        --i;
        --j;
        hits[first + i] = 1;
      } else if (kind_.value(table_[(i - 1) * columns_ + j]) >=
                 kind_.value(table_[i * columns_ + j - 1])) {
        --i;
      } else {
        --j;
      }
    }
    return j;
  }

  WordSpan reference_;
  WordSpan candidate_;
  Kind kind_;
  std::size_t columns_;
  std::size_t rows_at_once_;
  std::vector<Cell> table_;
};

}  // namespace

std::int64_t common_subsequence_length(WordSpan a, WordSpan b) {
  thread_local std::vector<std::int32_t> row;
  row.assign(b.size() + 1, 0);
  for (const std::uint32_t word : a) {
    std::int32_t diagonal = 0;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::int32_t above = row[j];
      row[j] = word == b[j - 1] ? diagonal + 1 : std::max(above, row[j - 1]);
      diagonal = above;
    }
  }
  return row.back();
}

void mark_common_subsequence(WordSpan reference, WordSpan candidate, std::vector<char>& hits) {
  if (reference.empty() || candidate.empty()) return;
  Marker<Plain>(reference, candidate, {}).mark(hits);
}

void mark_weighted_subsequence(WordSpan reference, WordSpan candidate, double weight,
                               std::vector<char>& hits) {
  if (reference.empty() || candidate.empty()) return;
  Marker<Weighted>(reference, candidate, {weight}).mark(hits);
}

}  // namespace elbeam::eval
