#include "fairseq_bridge/language_model_task.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/fairseq_log.hpp"
#include "runtime/engine.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace elbeam::fairseq {
namespace {

class LanguageModelDataset final : public GenerationDataset {
 public:
  explicit LanguageModelDataset(MonolingualDataset samples) : samples_(std::move(samples)) {}

  std::int64_t size() const noexcept override { return samples_.size(); }
  bool has_targets() const noexcept override { return true; }
  std::int64_t source_size(std::int64_t index) const override {
    return samples_.sample_size(index);
  }
  std::int64_t target_size(std::int64_t) const override { return 0; }
  std::vector<std::int64_t> source(std::int64_t index) const override {
    return samples_.sample(index).source;
  }
  std::vector<std::int64_t> target(std::int64_t index) const override {
    return samples_.sample(index).target;
  }
  std::string source_text(std::int64_t) const override { return no_text(); }
  std::string target_text(std::int64_t) const override { return no_text(); }
  std::vector<std::int64_t> ordered_indices(std::uint32_t seed) const override {
    return samples_.ordered_indices(seed);
  }
  bool sorts_rows() const noexcept override { return false; }

 private:
  static std::string no_text() {
    fail(ErrorCode::kUsage, "the samples of --task language_modeling have no lines of their own");
  }

  MonolingualDataset samples_;
};

class LanguageModelTask final : public Task {
 public:
  LanguageModelTask(const TaskOptions& options, const LanguageModelDictionary& words)
      : Task(words.dictionary, words.dictionary),
        dictionary_path_(words.path),
        data_(options.data),
        blocks_(options.blocks) {}

  void complete(LoadOptions& load) const override {
    load.source_dictionary_path = load.target_dictionary_path = dictionary_path_;
  }

  std::unique_ptr<GenerationDataset> load_split() const override {
    return std::make_unique<LanguageModelDataset>(load_monolingual_dataset(
        data_.data, data_.subset, data_.impl, source_dictionary(), blocks_));
  }

  SizeLimits size_limits(const ModelInfo& model) const override {
    SizeLimits limits;
    limits.source = model.max_target_positions;
    limits.one_side = true;
    return limits;
  }

  InferenceOrder inference_order() const override { return InferenceOrder::kAsGiven; }

  // The line without its eos, after the token that generation starts from.
  Sentence inference_sample(std::int64_t id, std::vector<std::int64_t> line) const override {
    const SpecialTokens special = source_dictionary().special();
    while (!line.empty() && line.back() == special.eos) line.pop_back();
    const auto first = std::find_if(line.begin(), line.end(),
                                    [&](std::int64_t token) { return token != special.eos; });
    line.erase(line.begin(), first);
    Sentence sentence;
    sentence.id = id;
    sentence.target = line;
    sentence.target.push_back(special.pad);
    sentence.source = std::move(line);
    sentence.source.insert(sentence.source.begin(), start_token());
    return sentence;
  }

  ScoreRequest score_request(const std::vector<Sentence>& rows,
                             const RequestOptions& options) const override {
    ScoreRequest request = Task::score_request(rows, options);
    for (const Sentence& row : rows) {
      const bool shifted =
          row.source.size() == row.target.size() && !row.source.empty() &&
          std::equal(row.source.begin() + 1, row.source.end(), row.target.begin()) &&
          row.source.front() == rows.front().source.front();
      ELBEAM_CHECK(shifted, ErrorCode::kUnsupported, "sample ", row.id,
                   ": --score-reference of a language model needs samples that all start from one "
                   "token: --sample-break-mode eos without --add-bos-token, or --batch-size 1");
    }
    request.start_token = rows.front().source.front();
    return request;
  }

 protected:
  void add_task_tokens(const std::vector<Sentence>& rows, GenerateRequest& request) const override {
    request.start_token = start_token();
    if (!request.prefix_tokens.empty()) return;
    const auto starts = [&](const Sentence& row) {
      return !row.source.empty() && row.source.front() == start_token();
    };
    const std::ptrdiff_t skip = std::all_of(rows.begin(), rows.end(), starts) ? 1 : 0;
    std::size_t width = 0;
    for (const Sentence& row : rows) width = std::max(width, row.source.size());
    for (const Sentence& row : rows) {
      std::vector<std::int64_t> prefix(row.source.begin() + skip, row.source.end());
      prefix.resize(width - usize(skip), source_dictionary().special().pad);
      request.prefix_tokens.push_back(std::move(prefix));
    }
  }

 private:
  std::int64_t start_token() const {
    const SpecialTokens special = source_dictionary().special();
    return blocks_.add_bos_token ? special.bos : special.eos;
  }

  std::string dictionary_path_;
  DataOptions data_;
  MonolingualOptions blocks_;
};

}  // namespace

LanguageModelDictionary load_language_model_dictionary(const std::string& data,
                                                       const std::string& model_path) {
  LanguageModelDictionary words;
  words.path = (std::filesystem::path(first_data_path(data)) / "dict.txt").string();
  std::error_code ignored;
  if (!std::filesystem::exists(words.path, ignored) &&
      std::filesystem::exists(model_path, ignored)) {
    auto own = runtime::own_dictionary(model_path);
    ELBEAM_CHECK(own.has_value(), ErrorCode::kIo, words.path,
                 ": there is no dictionary, and the model ", model_path, " brings none");
    words.path.clear();
    words.dictionary = std::move(*own);
  } else {
    words.dictionary = text::Dictionary::load(words.path);
  }
  fairseq_log(LogLevel::kInfo, "fairseq.tasks.language_modeling",
              concat("dictionary: ", words.dictionary.size(), " types"));
  return words;
}

std::unique_ptr<Task> make_language_model_task(const TaskOptions& options) {
  return std::make_unique<LanguageModelTask>(
      options, load_language_model_dictionary(options.data.data, options.model_path));
}

}  // namespace elbeam::fairseq
