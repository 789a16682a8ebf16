#include "model/vocabulary_selection.hpp"

#include "base/checked_math.hpp"

#include <algorithm>
#include <utility>

namespace elbeam::model {
namespace {

void sort_and_thin(std::vector<std::int64_t>& tokens) {
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
}

}  // namespace

VocabularySelection::VocabularySelection(std::vector<std::int64_t> always,
                                         std::vector<std::vector<std::int64_t>> translations)
    : always_(std::move(always)), translations_(std::move(translations)) {}

std::vector<std::int64_t> VocabularySelection::tokens_for(
    const SourceBatch& batch, std::span<const std::int64_t> needed) const {
  std::vector<std::int64_t> sources;
  for (const auto& sentence : batch.sentences)
    sources.insert(sources.end(), sentence.begin(), sentence.end());
  sort_and_thin(sources);
  std::vector<std::int64_t> tokens = always_;
  tokens.insert(tokens.end(), needed.begin(), needed.end());
  for (const std::int64_t source : sources) {
    // The encoder says what is wrong with a token that does not exist.
    if (source < 0 || source >= ssize(translations_.size())) continue;
    const auto& more = translations_[usize(source)];
    tokens.insert(tokens.end(), more.begin(), more.end());
  }
  sort_and_thin(tokens);
  return tokens;
}

}  // namespace elbeam::model
