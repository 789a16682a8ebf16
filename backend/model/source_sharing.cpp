#include "model/source_sharing.hpp"

#include "base/checked_math.hpp"

#include <map>
#include <span>

namespace elbeam::model {
namespace {

struct Less {
  bool operator()(std::span<const std::int64_t> a, std::span<const std::int64_t> b) const {
    if (a.size() != b.size()) return a.size() < b.size();
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
  }
};

}  // namespace

DistinctSources distinct_sources(const SourceBatch& batch, bool share) {
  DistinctSources distinct;
  distinct.batch.padded_length = batch.padded_length;
  std::map<std::span<const std::int64_t>, std::int64_t, Less> numbers;
  for (const auto& sentence : batch.sentences) {
    const std::int64_t next = ssize(distinct.batch.sentences.size());
    const std::int64_t number = share ? numbers.try_emplace(sentence, next).first->second : next;
    if (number == next) distinct.batch.sentences.push_back(sentence);
    distinct.of_sentence.push_back(number);
  }
  return distinct;
}

}  // namespace elbeam::model
