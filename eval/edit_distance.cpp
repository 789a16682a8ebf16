#include "eval/edit_distance.hpp"

#include "base/checked_math.hpp"

#include <algorithm>
#include <numeric>

namespace elbeam::eval {

std::int64_t edit_distance(WordSpan a, WordSpan b) {
  while (!a.empty() && !b.empty() && a.front() == b.front()) {
    a = a.subspan(1);
    b = b.subspan(1);
  }
  while (!a.empty() && !b.empty() && a.back() == b.back()) {
    a = a.first(a.size() - 1);
    b = b.first(b.size() - 1);
  }
  if (a.size() < b.size()) std::swap(a, b);
  thread_local std::vector<std::int64_t> row;  // distances of a's prefix to each prefix of b
  row.resize(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::int64_t diagonal = row[0];
    row[0] = ssize(i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::int64_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace elbeam::eval
