#include "fairseq_bridge/pair_task.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/fairseq_log.hpp"

#include <algorithm>

namespace elbeam::fairseq {
namespace {

DictionarySources pair_sources(const LanguagePair& pair) {
  return {pair.dictionary_path(pair.source), pair.dictionary_path(pair.target), {}};
}

class TranslationTask final : public PairTask {
 public:
  TranslationTask(const TaskOptions& options, const LanguagePair& pair)
      : PairTask(options.data, pair, pair_sources(pair)), bart_hub_(options.bart_hub) {}

 protected:
  PairTokens tokens() const override {
    PairTokens tokens;
    tokens.shuffle = data().subset != "test";
    if (bart_hub_) tokens.before_source = {source_dictionary().special().bos};
    return tokens;
  }

  void add_task_tokens(const std::vector<Sentence>& rows, GenerateRequest& request) const override {
    if (!bart_hub_ || !request.prefix_tokens.empty()) return;
    request.prefix_tokens.assign(rows.size(), {target_dictionary().special().bos});
  }

 private:
  bool bart_hub_;
};

std::string bracketed(const std::string& language) { return "[" + language + "]"; }

DictionarySources pretrained_bart_sources(const TaskOptions& options, const LanguagePair& pair) {
  ELBEAM_CHECK(!options.languages.langs.empty(), ErrorCode::kUsage,
               "--task translation_from_pretrained_bart needs --langs");
  DictionarySources sources = pair_sources(pair);
  for (const std::string& language : options.languages.langs) {
    sources.extra_symbols.push_back(bracketed(language));
  }
  sources.extra_symbols.emplace_back("<mask>");
  return sources;
}

class PretrainedBartTask final : public PairTask {
 public:
  PretrainedBartTask(const TaskOptions& options, const LanguagePair& pair)
      : PairTask(options.data, pair, pretrained_bart_sources(options, pair)),
        prepend_bos_(options.languages.prepend_bos),
        source_token_(language_token(source_dictionary(), bracketed(pair.source))),
        target_token_(language_token(target_dictionary(), bracketed(pair.target))) {}

  Sentence inference_sample(std::int64_t id, std::vector<std::int64_t> line) const override {
    Sentence sentence;
    sentence.id = id;
    sentence.source = std::move(line);
    sentence.source.push_back(source_token_);  // --prepend-bos does not reach the input lines
    return sentence;
  }

  std::vector<std::int64_t> hidden_tokens() const override { return {target_token_}; }

 protected:
  PairTokens tokens() const override {
    PairTokens tokens;
    if (prepend_bos_) {
      tokens.before_source = {source_dictionary().special().bos};
      tokens.before_target = {target_dictionary().special().bos};
    }
    tokens.after_source = {source_token_};
    tokens.after_target = {target_token_};
    tokens.shuffle = true;
    return tokens;
  }

  void add_task_tokens(const std::vector<Sentence>&, GenerateRequest& request) const override {
    request.end_token = target_token_;
  }

 private:
  bool prepend_bos_;
  std::int64_t source_token_;
  std::int64_t target_token_;
};

}  // namespace

LoadedDictionaries load_dictionaries(const DictionarySources& sources, const LanguagePair& pair) {
  LoadedDictionaries loaded;
  loaded.source = text::Dictionary::load(sources.source_path);
  loaded.target = text::Dictionary::load(sources.target_path);
  for (const std::string& symbol : sources.extra_symbols) {
    loaded.source.add_symbol(symbol);
    loaded.target.add_symbol(symbol);
  }
  const auto log = [](const std::string& language, const text::Dictionary& dictionary) {
    fairseq_log(LogLevel::kInfo, "fairseq.tasks.translation",
                concat("[", language, "] dictionary: ", dictionary.size(), " types"));
  };
  log(pair.source, loaded.source);
  log(pair.target, loaded.target);
  return loaded;
}

std::int64_t language_token(const text::Dictionary& dictionary, const std::string& symbol) {
  const std::int64_t token = dictionary.index(symbol);
  ELBEAM_CHECK(token != dictionary.special().unk, ErrorCode::kUsage, "cannot find language token ",
               symbol, " in the dictionary");
  return token;
}

PairTask::PairTask(DataOptions data, LanguagePair pair, DictionarySources sources,
                   LoadedDictionaries dictionaries)
    : Task(std::move(dictionaries.source), std::move(dictionaries.target)),
      data_(std::move(data)),
      pair_(std::move(pair)),
      sources_(std::move(sources)) {}

PairTask::PairTask(DataOptions data, LanguagePair pair, DictionarySources sources)
    : PairTask(std::move(data), pair, sources, load_dictionaries(sources, pair)) {}

void PairTask::complete(LoadOptions& load) const {
  load.source_dictionary_path = sources_.source_path;
  load.target_dictionary_path = sources_.target_path;
  load.extra_symbols = sources_.extra_symbols;
}

std::unique_ptr<GenerationDataset> PairTask::load_split() const {
  return std::make_unique<LanguagePairDataset>(
      data_, pair_, PairDictionaries{source_dictionary(), target_dictionary()}, tokens());
}

SizeLimits PairTask::size_limits(const ModelInfo& model) const {
  return {std::min(data_.max_source_positions, model.max_source_positions),
          std::min(data_.max_target_positions, model.max_target_positions)};
}

Sentence PairTask::inference_sample(std::int64_t id, std::vector<std::int64_t> line) const {
  Sentence sentence;
  sentence.id = id;
  sentence.source =
      with_source_tokens(tokens(), std::move(line), source_dictionary().special().eos);
  return sentence;
}

std::unique_ptr<Task> make_translation_task(const TaskOptions& options) {
  return std::make_unique<TranslationTask>(options, find_language_pair(options.data));
}

std::unique_ptr<Task> make_pretrained_bart_task(const TaskOptions& options) {
  return std::make_unique<PretrainedBartTask>(options, find_language_pair(options.data));
}

}  // namespace elbeam::fairseq
