// The tasks over pairs of languages.
#pragma once

#include "fairseq_bridge/task.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace elbeam::fairseq {

// Where the dictionaries of a pair come from.
struct DictionarySources {
  std::string source_path;
  std::string target_path;
  std::vector<std::string> extra_symbols;  // added to both
};

struct LoadedDictionaries {
  text::Dictionary source;
  text::Dictionary target;
};

// Loads both and logs their sizes.
LoadedDictionaries load_dictionaries(const DictionarySources& sources, const LanguagePair& pair);

// What the tasks share: one split of two aligned sides.
class PairTask : public Task {
 public:
  PairTask(DataOptions data, LanguagePair pair, DictionarySources sources);

  void complete(LoadOptions& load) const override;
  std::unique_ptr<GenerationDataset> load_split() const override;
  SizeLimits size_limits(const ModelInfo& model) const override;
  Sentence inference_sample(std::int64_t id, std::vector<std::int64_t> line) const override;

 protected:
  // What the task adds to each sentence of a data set, and of interactive input.
  virtual PairTokens tokens() const = 0;
  const DataOptions& data() const { return data_; }
  const LanguagePair& pair() const { return pair_; }

 private:
  PairTask(DataOptions data, LanguagePair pair, DictionarySources sources,
           LoadedDictionaries dictionaries);

  DataOptions data_;
  LanguagePair pair_;
  DictionarySources sources_;
};

// The id of a language's token. Throws Error(kUsage) where the dictionary has none.
std::int64_t language_token(const text::Dictionary& dictionary, const std::string& symbol);

// fairseq/tasks/translation.py, with TaskOptions::bart_hub the convention of
// fairseq/models/bart/hub_interface.py: the source begins with bos, and so does the forced output.
std::unique_ptr<Task> make_translation_task(const TaskOptions& options);

// fairseq/tasks/translation_from_pretrained_bart.py, as it was meant: tokens [en], [de] ... of
// --langs end the sources and the hypotheses.
std::unique_ptr<Task> make_pretrained_bart_task(const TaskOptions& options);

// fairseq/tasks/multilingual_translation.py: one of the models in the checkpoint, chosen by -s and
// -t, and tokens __de__ in the place of the source's eos and of the hypotheses' first token.
std::unique_ptr<Task> make_multilingual_task(const TaskOptions& options);

// fairseq/tasks/translation_multi_simple_epoch.py: one model; tokens before the source and the
// target, or in the places of eos and bos.
std::unique_ptr<Task> make_multi_simple_epoch_task(const TaskOptions& options);

}  // namespace elbeam::fairseq
