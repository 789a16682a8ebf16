// A split of a data-bin folder as fairseq's translation task loads it: dictionaries, sources and
// (where they exist) references.
#pragma once

#include "fairseq_bridge/token_dataset.hpp"
#include "text/dictionary.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace elbeam::fairseq {

enum class DatasetImpl { kInferred, kMmap, kRaw };

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

// Immutable; const access from any thread.
class LanguagePairDataset {
 public:
  // Logs fairseq's "loaded N examples" lines. Throws Error: kIo for a split that is not there,
  // kFormat, kLimit, kUnsupported (the files), kModel (source and reference counts differ).
  LanguagePairDataset(const DataOptions& options, const LanguagePair& pair,
                      const text::Dictionary& source_dictionary,
                      const text::Dictionary& target_dictionary);

  std::int64_t size() const noexcept { return sources_->size(); }
  bool has_targets() const noexcept { return targets_ != nullptr; }

  // Lengths that ordering, batching and the size filter see, eos included; the target's is 0 where
  // there is none. With truncate_source this is fairseq's bound min(length, max - 1) + 1, which is
  // one above the real length of an uncut sentence that ends with eos.
  std::int64_t source_size(std::int64_t index) const;
  std::int64_t target_size(std::int64_t index) const;

  std::vector<std::int64_t> source(std::int64_t index) const;
  std::vector<std::int64_t> target(std::int64_t index) const;  // has_targets() only

 private:
  std::unique_ptr<TokenDataset> sources_;
  std::unique_ptr<TokenDataset> targets_;
  std::optional<std::int64_t> keep_;  // source tokens kept before the new eos
  std::int64_t eos_;
};

}  // namespace elbeam::fairseq
