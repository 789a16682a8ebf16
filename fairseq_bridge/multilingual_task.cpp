// The two tasks whose models translate between several languages.
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/pair_task.hpp"

#include <algorithm>
#include <set>

namespace elbeam::fairseq {
namespace {

LanguagePair required_pair(const TaskOptions& options) {
  ELBEAM_CHECK(options.data.source_lang && options.data.target_lang, ErrorCode::kUsage, "--task ",
               options.name, " needs -s and -t");
  ELBEAM_CHECK(!options.languages.lang_pairs.empty(), ErrorCode::kUsage,
               "--lang-pairs is required. List all the language pairs in the training objective.");
  return find_language_pair(options.data);
}

// The languages of --lang-pairs, each once, sorted.
std::set<std::string> languages_of(const std::vector<std::string>& pairs) {
  std::set<std::string> languages;
  for (const std::string& pair : pairs) {
    const std::size_t dash = pair.find('-');
    ELBEAM_CHECK(dash != std::string::npos && pair.find('-', dash + 1) == std::string::npos,
                 ErrorCode::kUsage, "--lang-pairs: ", quoted(pair),
                 " is no pair of languages (expected source-target)");
    languages.insert(pair.substr(0, dash));
    languages.insert(pair.substr(dash + 1));
  }
  return languages;
}

std::string underscored(const std::string& language) { return "__" + language + "__"; }

DictionarySources multilingual_sources(const TaskOptions& options, const LanguagePair& pair) {
  DictionarySources sources{
      pair.dictionary_path(pair.source), pair.dictionary_path(pair.target), {}};
  if (!options.languages.encoder_langtok && !options.languages.decoder_langtok) return sources;
  for (const std::string& language : languages_of(options.languages.lang_pairs)) {
    sources.extra_symbols.push_back(underscored(language));
  }
  return sources;
}

class MultilingualTask final : public PairTask {
 public:
  MultilingualTask(const TaskOptions& options, const LanguagePair& pair)
      : PairTask(options.data, pair, multilingual_sources(options, pair)) {
    const auto known = languages_of(options.languages.lang_pairs);
    for (const std::string& language : {pair.source, pair.target}) {
      ELBEAM_CHECK(known.count(language) != 0, ErrorCode::kUsage, "--lang-pairs has no ", language);
    }
    if (const auto& side = options.languages.encoder_langtok) {
      source_token_ = language_token(source_dictionary(),
                                     underscored(*side == "src" ? pair.source : pair.target));
    }
    if (options.languages.decoder_langtok) {
      target_token_ = language_token(target_dictionary(), underscored(pair.target));
    }
  }

  void complete(LoadOptions& load) const override {
    PairTask::complete(load);
    load.language_pair = concat(pair().source, "-", pair().target);
  }

 protected:
  PairTokens tokens() const override {
    PairTokens tokens;
    tokens.source_eos = source_token_;
    tokens.shuffle = true;
    return tokens;
  }

  void add_task_tokens(const std::vector<Sentence>&, GenerateRequest& request) const override {
    request.start_token = target_token_;
  }

 private:
  std::optional<std::int64_t> source_token_;
  std::optional<std::int64_t> target_token_;
};

std::string styled(const MultilingualOptions& languages, const std::string& language) {
  return languages.mbart_style ? "[" + language + "]" : underscored(language);
}

// MultilingualDatasetManager.load_langs
std::vector<std::string> languages_in_order(const MultilingualOptions& languages) {
  if (!languages.langs.empty()) return languages.langs;
  const auto sorted = languages_of(languages.lang_pairs);
  return {sorted.begin(), sorted.end()};
}

DictionarySources simple_epoch_sources(const TaskOptions& options, const LanguagePair& pair) {
  const MultilingualOptions& languages = options.languages;
  const std::vector<std::string> known = languages_in_order(languages);
  for (const std::string& language : {pair.source, pair.target}) {
    ELBEAM_CHECK(std::find(known.begin(), known.end(), language) != known.end(), ErrorCode::kUsage,
                 "language pair ", pair.source, "-", pair.target,
                 " contains languages that are not in the language dictionary");
  }
  DictionarySources sources{languages.source_dictionary.value_or(pair.dictionary_path(pair.source)),
                            languages.target_dictionary.value_or(pair.dictionary_path(pair.target)),
                            {}};
  for (const std::string& language : known) {
    sources.extra_symbols.push_back(styled(languages, language));
  }
  if (languages.mbart_style) sources.extra_symbols.emplace_back("<mask>");
  return sources;
}

class MultiSimpleEpochTask final : public PairTask {
 public:
  MultiSimpleEpochTask(const TaskOptions& options, const LanguagePair& pair)
      : PairTask(options.data, pair, simple_epoch_sources(options, pair)),
        replace_bos_eos_(options.languages.replace_bos_eos),
        keep_langtok_(options.languages.keep_inference_langtok) {
    const MultilingualOptions& languages = options.languages;
    if (const auto& side = languages.encoder_langtok) {
      source_token_ = language_token(source_dictionary(),
                                     styled(languages, *side == "src" ? pair.source : pair.target));
    }
    if (languages.decoder_langtok) {
      target_token_ = language_token(target_dictionary(), styled(languages, pair.target));
    }
  }

  std::vector<std::int64_t> hidden_tokens() const override {
    if (!target_token_ || keep_langtok_) return {};
    return {*target_token_};
  }

 protected:
  PairTokens tokens() const override {
    PairTokens tokens;
    if (replace_bos_eos_) {
      tokens.source_eos = source_token_;
      return tokens;
    }
    if (source_token_) tokens.before_source = {*source_token_};
    if (target_token_) tokens.before_target = {*target_token_};
    return tokens;
  }

  void add_task_tokens(const std::vector<Sentence>& rows, GenerateRequest& request) const override {
    if (replace_bos_eos_) {
      request.start_token = target_token_;
    } else if (target_token_ && request.prefix_tokens.empty()) {
      request.prefix_tokens.assign(rows.size(), {*target_token_});
    }
  }

 private:
  bool replace_bos_eos_;
  bool keep_langtok_;
  std::optional<std::int64_t> source_token_;
  std::optional<std::int64_t> target_token_;
};

}  // namespace

std::unique_ptr<Task> make_multilingual_task(const TaskOptions& options) {
  return std::make_unique<MultilingualTask>(options, required_pair(options));
}

std::unique_ptr<Task> make_multi_simple_epoch_task(const TaskOptions& options) {
  return std::make_unique<MultiSimpleEpochTask>(options, required_pair(options));
}

}  // namespace elbeam::fairseq
