#include "fairseq_bridge/language_pair_dataset.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/batching.hpp"
#include "fairseq_bridge/fairseq_log.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

namespace elbeam::fairseq {
namespace {

namespace fs = std::filesystem;

std::optional<std::pair<std::string, std::string>> languages_of(const std::string& file_name) {
  const std::size_t first = file_name.find('.');
  if (first == std::string::npos) return std::nullopt;
  const std::size_t second = file_name.find('.', first + 1);
  if (second == std::string::npos) return std::nullopt;
  const std::string part = file_name.substr(first + 1, second - first - 1);
  const std::size_t dash = part.find('-');
  if (dash == std::string::npos || part.find('-', dash + 1) != std::string::npos) {
    return std::nullopt;
  }
  return std::pair(part.substr(0, dash), part.substr(dash + 1));
}

std::vector<std::int64_t> between(const std::vector<std::int64_t>& before,
                                  std::vector<std::int64_t> tokens,
                                  const std::vector<std::int64_t>& after) {
  tokens.insert(tokens.begin(), before.begin(), before.end());
  tokens.insert(tokens.end(), after.begin(), after.end());
  return tokens;
}

}  // namespace

std::vector<std::int64_t> with_source_tokens(const PairTokens& tokens,
                                             std::vector<std::int64_t> source, std::int64_t eos) {
  if (tokens.source_eos) {
    ELBEAM_CHECK(!source.empty() && source.back() == eos, ErrorCode::kModel,
                 "a source sentence does not end with eos, which --encoder-langtok puts its token "
                 "in the place of");
    source.back() = *tokens.source_eos;
  }
  return between(tokens.before_source, std::move(source), tokens.after_source);
}

std::string LanguagePair::dictionary_path(const std::string& language) const {
  return (fs::path(folder) / concat("dict.", language, ".txt")).string();
}

LanguagePair find_language_pair(const DataOptions& options) {
  const std::string folder = first_data_path(options.data);
  std::error_code error;
  fs::directory_iterator files(folder, error);
  ELBEAM_CHECK(!error, ErrorCode::kIo, folder, ": cannot read the data folder: ", error.message());
  // As in fairseq, one language alone is not used: both come from the file names then.
  if (options.source_lang && options.target_lang) {
    return {folder, *options.source_lang, *options.target_lang};
  }
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : files) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (const auto languages = languages_of(name)) {
      return {folder, languages->first, languages->second};
    }
  }
  fail(ErrorCode::kUsage, folder,
       ": could not infer the language pair, please provide it explicitly (-s, -t)");
}

LanguagePairDataset::LanguagePairDataset(const DataOptions& options, const LanguagePair& pair,
                                         const PairDictionaries& dictionaries, PairTokens tokens)
    : tokens_(std::move(tokens)), eos_(dictionaries.source.special().eos) {
  const auto prefix_of = [&](const std::string& from, const std::string& to) {
    return (fs::path(pair.folder) / concat(options.subset, ".", from, "-", to, ".")).string();
  };
  std::string prefix = prefix_of(pair.source, pair.target);
  if (!dataset_exists(prefix + pair.source, options.impl)) {
    prefix = prefix_of(pair.target, pair.source);
    ELBEAM_CHECK(dataset_exists(prefix + pair.source, options.impl), ErrorCode::kIo,
                 "Dataset not found: ", options.subset, " (", pair.folder, "): there is no ",
                 options.subset, ".", pair.source, "-", pair.target, ".", pair.source,
                 options.impl == DatasetImpl::kRaw ? "" : ".{idx,bin}");
  }
  sources_ = load_indexed_dataset(prefix + pair.source, options.impl, dictionaries.source);
  ELBEAM_CHECK(sources_ != nullptr, ErrorCode::kIo, prefix, pair.source, ": cannot be loaded");
  targets_ = load_indexed_dataset(prefix + pair.target, options.impl, dictionaries.target);
  ELBEAM_CHECK(targets_ == nullptr || targets_->size() == sources_->size(), ErrorCode::kModel,
               prefix, pair.source, " has ", sources_->size(), " sentences and ", prefix,
               pair.target, " has ", targets_ ? targets_->size() : 0,
               ": source and target must contain the same number");
  if (options.truncate_source) {
    ELBEAM_CHECK(options.max_source_positions >= 1, ErrorCode::kUsage,
                 "--truncate-source needs --max-source-positions of at least 1, got ",
                 options.max_source_positions);
    keep_ = options.max_source_positions - 1;
  }
  fairseq_log(LogLevel::kInfo, "fairseq.tasks.translation",
              concat(pair.folder, " ", options.subset, " ", pair.source, "-", pair.target, " ",
                     size(), " examples"));
}

std::int64_t LanguagePairDataset::source_size(std::int64_t index) const {
  const std::int64_t length = sources_->length(index);
  return (keep_ ? std::min(length, *keep_) + 1 : length) +
         ssize(tokens_.before_source.size() + tokens_.after_source.size());
}

std::int64_t LanguagePairDataset::target_size(std::int64_t index) const {
  if (!targets_) return 0;
  return targets_->length(index) +
         ssize(tokens_.before_target.size() + tokens_.after_target.size());
}

std::vector<std::int64_t> LanguagePairDataset::source(std::int64_t index) const {
  std::vector<std::int64_t> tokens = sources_->tokens(index);
  if (keep_) {
    // AppendToken(Truncate(StripToken(source, eos), max - 1), eos); StripToken works on both ends.
    while (!tokens.empty() && tokens.back() == eos_) tokens.pop_back();
    const auto first = std::find_if(tokens.begin(), tokens.end(),
                                    [this](std::int64_t token) { return token != eos_; });
    tokens.erase(tokens.begin(), first);
    if (ssize(tokens.size()) > *keep_) tokens.resize(usize(*keep_));
    tokens.push_back(eos_);
  }
  return with_source_tokens(tokens_, std::move(tokens), eos_);
}

std::vector<std::int64_t> LanguagePairDataset::target(std::int64_t index) const {
  return between(tokens_.before_target, targets_->tokens(index), tokens_.after_target);
}

std::vector<std::int64_t> LanguagePairDataset::ordered_indices(std::uint32_t seed) const {
  return pair_order(*this, tokens_.shuffle, seed);
}

}  // namespace elbeam::fairseq
