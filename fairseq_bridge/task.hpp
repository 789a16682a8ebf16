// fairseq's tasks, as generation sees them: dictionaries, data, and by which tokens a hypothesis
// starts, is forced and ends. elbeam-generate and elbeam-interactive work through this.
#pragma once

#include <elbeam/generator.hpp>

#include "fairseq_bridge/batching.hpp"
#include "fairseq_bridge/generation_dataset.hpp"
#include "fairseq_bridge/inference_dataset.hpp"
#include "fairseq_bridge/language_pair_dataset.hpp"
#include "fairseq_bridge/monolingual_dataset.hpp"
#include "text/dictionary.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::fairseq {

// Language tokens and dictionaries of the tasks over several languages.
struct MultilingualOptions {
  std::vector<std::string> lang_pairs;         // --lang-pairs en-de,de-en
  std::vector<std::string> langs;              // --langs, or the lines of --lang-dict
  std::optional<std::string> encoder_langtok;  // "src", "tgt"
  bool decoder_langtok = false;
  bool replace_bos_eos = false;  // --lang-tok-replacing-bos-eos
  bool mbart_style = false;      // --lang-tok-style mbart: [en] instead of __en__
  bool keep_inference_langtok = false;
  bool prepend_bos = false;  // --prepend-bos
  // Instead of dict.LANGUAGE.txt.
  std::optional<std::string> source_dictionary;
  std::optional<std::string> target_dictionary;
};

struct TaskOptions {
  std::string name = "translation";  // --task
  DataOptions data;
  MultilingualOptions languages;
  MonolingualOptions blocks;  // of language_modeling
  std::string model_path;     // whose own dictionary serves a language model without dict.txt
  bool bart_hub = false;  // the convention of fairseq's BARTHubInterface, which no fairseq task has
};

// How a batch becomes a request.
struct RequestOptions {
  std::int64_t prefix_size = 0;  // --prefix-size: first tokens of the (padded) targets are forced
  bool left_pad_target = false;  // shifts what prefix_size sees
  std::int64_t pad_to_multiple = 1;  // of the source's padded length
};

// Immutable; const access from any thread.
class Task {
 public:
  Task(text::Dictionary source, text::Dictionary target)
      : source_dictionary_(std::move(source)), target_dictionary_(std::move(target)) {}
  virtual ~Task() = default;

  const text::Dictionary& source_dictionary() const { return source_dictionary_; }
  const text::Dictionary& target_dictionary() const { return target_dictionary_; }

  // Says which dictionaries (and which part of a checkpoint of several models) a model has to fit.
  virtual void complete(LoadOptions& load) const = 0;

  // The split that the options name. Throws Error as LanguagePairDataset.
  virtual std::unique_ptr<GenerationDataset> load_split() const = 0;

  // fairseq's resolve_max_positions(task.max_positions(), model.max_positions()).
  virtual SizeLimits size_limits(const ModelInfo& model) const = 0;

  // build_dataset_for_inference: the sample of one line of fairseq-interactive that the source
  // dictionary encoded, eos included.
  virtual Sentence inference_sample(std::int64_t id, std::vector<std::int64_t> line) const = 0;

  // In which order its build_dataset_for_inference batches the lines.
  virtual InferenceOrder inference_order() const { return InferenceOrder::kByLength; }

  // What fairseq's task.inference_step hands to the generator for these rows. Throws Error(kUsage)
  // for a prefix_size without targets.
  GenerateRequest request(const std::vector<Sentence>& rows, const RequestOptions& options) const;

  // The same for --score-reference: the targets are given. `rows` have targets. Throws
  // Error(kUnsupported) where a language model would read other tokens than the target's.
  virtual ScoreRequest score_request(const std::vector<Sentence>& rows,
                                     const RequestOptions& options) const;

  // Symbols that are not printed besides bos and eos (fairseq's symbols_to_strip_from_output).
  virtual std::vector<std::int64_t> hidden_tokens() const { return {}; }

 protected:
  // Sets start_token, end_token and, where --prefix-size set none, prefix_tokens.
  virtual void add_task_tokens(const std::vector<Sentence>& rows,
                               GenerateRequest& request) const = 0;

 private:
  text::Dictionary source_dictionary_;
  text::Dictionary target_dictionary_;
};

// Logs, as Python's `logger`, that a model is loaded, and what there is to warn of: a precision
// that is not lossless, what ModelInfo::warnings says. Throws Error as Generator.
Generator open_generator(const LoadOptions& load, std::string_view logger);

// The same of a task's model.
Generator load_generator(const Task& task, LoadOptions load, std::string_view logger);

// Loads the dictionaries and logs their sizes. Throws Error: kUsage for options that the task does
// not take together, kIo and kFormat for the dictionaries.
std::unique_ptr<Task> make_task(const TaskOptions& options);

struct CollateOptions {
  std::int64_t pad = 1;
  bool texts = false;  // fetch the lines themselves, too (--replace-unk)
};

// language_pair_dataset.collate, or a language model's collater: the sentences of a batch in the
// order of its rows.
std::vector<Sentence> collate(const GenerationDataset& dataset,
                              const std::vector<std::int64_t>& batch,
                              const CollateOptions& options);

}  // namespace elbeam::fairseq
