// Which part of the target vocabulary a batch is decoded with (vocabulary selection: Jean et al.
// 2015, arXiv:1412.2007; the lexical shortlists of Marian).
#pragma once

#include <elbeam/step_model.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::model {

// Immutable; const access from any thread.
class VocabularySelection {
 public:
  // Tokens of every batch, and those that each source token adds: translations[source token], empty
  // where there is no lexicon. Tokens are within the target vocabulary.
  VocabularySelection(std::vector<std::int64_t> always,
                      std::vector<std::vector<std::int64_t>> translations);

  bool needs_sources() const noexcept { return !translations_.empty(); }

  // Ascending, each once; `needed` are among them.
  std::vector<std::int64_t> tokens_for(const SourceBatch& batch,
                                       std::span<const std::int64_t> needed) const;

 private:
  std::vector<std::int64_t> always_;
  std::vector<std::vector<std::int64_t>> translations_;
};

}  // namespace elbeam::model
