// A split of a data-bin folder as fairseq's translation task loads it: dictionaries, sources and
// (where they exist) references.
#pragma once

#include "fairseq_bridge/generation_dataset.hpp"
#include "fairseq_bridge/indexed_dataset.hpp"
#include "fairseq_bridge/token_dataset.hpp"
#include "text/dictionary.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace elbeam::fairseq {

struct DataOptions {
  std::string data;                        // folder, or several joined by ':'; the first is used
  std::string subset = "test";             // --gen-subset
  std::optional<std::string> source_lang;  // where one is missing, both are inferred
  std::optional<std::string> target_lang;
  DatasetImpl impl = DatasetImpl::kInferred;
  bool truncate_source = false;
  std::int64_t max_source_positions = 1024;
  std::int64_t max_target_positions = 1024;
};

struct LanguagePair {
  std::string folder;
  std::string source;
  std::string target;

  std::string dictionary_path(const std::string& language) const;
};

// The folder that fairseq would use and the languages: those given, or those of the first file name
// of the form split.a-b.* (data_utils.infer_language_pair; names are sorted here, so the choice
// does not depend on the file system). Throws Error(kIo) for a folder that cannot be read and
// Error(kUsage) where no pair can be inferred.
LanguagePair find_language_pair(const DataOptions& options);

// What a task adds to the sentences of a pair: language tokens, as a rule.
struct PairTokens {
  std::vector<std::int64_t> before_source;
  std::vector<std::int64_t> after_source;
  std::optional<std::int64_t> source_eos;  // put in the place of the source's last token
  std::vector<std::int64_t> before_target;
  std::vector<std::int64_t> after_target;
  bool shuffle = false;  // sentences of equal lengths come in an order drawn with the seed
};

// A source with the tokens of the task; `eos` is what source_eos may stand for. Throws
// Error(kModel) for a source that does not end with it.
std::vector<std::int64_t> with_source_tokens(const PairTokens& tokens,
                                             std::vector<std::int64_t> source, std::int64_t eos);

struct PairDictionaries {
  const text::Dictionary& source;
  const text::Dictionary& target;
};

// Immutable; const access from any thread.
class LanguagePairDataset final : public GenerationDataset {
 public:
  // Logs fairseq's "loaded N examples" lines. Throws Error: kIo for a split that is not there,
  // kFormat, kLimit, kUnsupported (the files), kModel (source and reference counts differ).
  LanguagePairDataset(const DataOptions& options, const LanguagePair& pair,
                      const PairDictionaries& dictionaries, PairTokens tokens);

  std::int64_t size() const noexcept override { return sources_->size(); }
  bool has_targets() const noexcept override { return targets_ != nullptr; }

  // With truncate_source the source's is fairseq's bound min(length, max - 1) + 1, which is one
  // above the real length of an uncut sentence that ends with eos.
  std::int64_t source_size(std::int64_t index) const override;
  std::int64_t target_size(std::int64_t index) const override;

  // Throws Error(kModel) for a source that does not end with eos where a task replaces it.
  std::vector<std::int64_t> source(std::int64_t index) const override;
  std::vector<std::int64_t> target(std::int64_t index) const override;
  std::string source_text(std::int64_t index) const override { return sources_->text(index); }
  std::string target_text(std::int64_t index) const override { return targets_->text(index); }
  std::vector<std::int64_t> ordered_indices(std::uint32_t seed) const override;

 private:
  std::unique_ptr<TokenDataset> sources_;
  std::unique_ptr<TokenDataset> targets_;
  PairTokens tokens_;
  std::optional<std::int64_t> keep_;  // source tokens kept before the new eos
  std::int64_t eos_;
};

}  // namespace elbeam::fairseq
