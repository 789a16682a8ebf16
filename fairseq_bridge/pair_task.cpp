#include "fairseq_bridge/pair_task.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/fairseq_log.hpp"

#include <algorithm>
#include <utility>

namespace elbeam::fairseq {
namespace {

struct Dictionaries {
  text::Dictionary source;
  text::Dictionary target;
};

Dictionaries load_dictionaries(const LanguagePair& pair) {
  Dictionaries loaded;
  loaded.source = text::Dictionary::load(pair.dictionary_path(pair.source));
  loaded.target = text::Dictionary::load(pair.dictionary_path(pair.target));
  return loaded;
}

void log_dictionary(const std::string& language, const text::Dictionary& dictionary) {
  fairseq_log(LogLevel::kInfo, "fairseq.tasks.translation",
              concat("[", language, "] dictionary: ", dictionary.size(), " types"));
}

// What all of them share: one split of two aligned sides.
class PairTask : public Task {
 public:
  PairTask(DataOptions data, LanguagePair pair, Dictionaries dictionaries)
      : Task(std::move(dictionaries.source), std::move(dictionaries.target)),
        data_(std::move(data)),
        pair_(std::move(pair)) {}

  void complete(LoadOptions& load) const override {
    load.source_dictionary_path = pair_.dictionary_path(pair_.source);
    load.target_dictionary_path = pair_.dictionary_path(pair_.target);
  }

  std::unique_ptr<GenerationDataset> load_split() const override {
    return std::make_unique<LanguagePairDataset>(
        data_, pair_, PairDictionaries{source_dictionary(), target_dictionary()}, tokens());
  }

  SizeLimits size_limits(const ModelInfo& model) const override {
    return {std::min(data_.max_source_positions, model.max_source_positions),
            std::min(data_.max_target_positions, model.max_target_positions)};
  }

 protected:
  virtual PairTokens tokens() const = 0;
  const DataOptions& data() const { return data_; }

 private:
  DataOptions data_;
  LanguagePair pair_;
};

class TranslationTask final : public PairTask {
 public:
  TranslationTask(const TaskOptions& options, const LanguagePair& pair)
      : PairTask(options.data, pair, load_dictionaries(pair)), bart_hub_(options.bart_hub) {
    log_dictionary(pair.source, source_dictionary());
    log_dictionary(pair.target, target_dictionary());
  }

  Sentence inference_sample(std::int64_t id, std::vector<std::int64_t> line) const override {
    Sentence sentence;
    sentence.id = id;
    sentence.source = std::move(line);
    if (bart_hub_) {
      sentence.source.insert(sentence.source.begin(), source_dictionary().special().bos);
    }
    return sentence;
  }

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

}  // namespace

std::unique_ptr<Task> make_translation_task(const TaskOptions& options) {
  return std::make_unique<TranslationTask>(options, find_language_pair(options.data));
}

}  // namespace elbeam::fairseq
