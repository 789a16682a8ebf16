#include "fairseq_bridge/task.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/fairseq_log.hpp"
#include "fairseq_bridge/language_model_task.hpp"
#include "fairseq_bridge/pair_task.hpp"
#include "fairseq_bridge/row_order.hpp"

#include <algorithm>
#include <utility>

namespace elbeam::fairseq {
namespace {

SourceBatch source_batch(const std::vector<Sentence>& rows, std::int64_t pad,
                         std::int64_t multiple) {
  SourceBatch batch;
  for (const Sentence& row : rows) {
    batch.padded_length = std::max(batch.padded_length, ssize(row.source.size()));
    // fairseq's encoder masks a pad wherever it stands and does not count it as a position.
    std::vector<std::int64_t> tokens = row.source;
    tokens.erase(std::remove(tokens.begin(), tokens.end(), pad), tokens.end());
    batch.sentences.push_back(std::move(tokens));
  }
  if (batch.padded_length % multiple != 0) {
    batch.padded_length =
        checked_add(batch.padded_length, multiple - batch.padded_length % multiple);
  }
  return batch;
}

// generate.py: prefix_tokens = sample["target"][:, :prefix_size], of the padded targets.
std::vector<std::vector<std::int64_t>> target_prefixes(const std::vector<Sentence>& rows,
                                                       const RequestOptions& options,
                                                       std::int64_t pad) {
  std::size_t width = 0;
  for (const Sentence& row : rows) width = std::max(width, row.target.size());
  std::vector<std::vector<std::int64_t>> prefixes;
  for (const Sentence& row : rows) {
    std::vector<std::int64_t> prefix = row.target;
    const std::size_t padding = width - row.target.size();
    prefix.insert(options.left_pad_target ? prefix.begin() : prefix.end(), padding, pad);
    prefix.resize(std::min(width, usize(options.prefix_size)));
    prefixes.push_back(std::move(prefix));
  }
  return prefixes;
}

}  // namespace

GenerateRequest Task::request(const std::vector<Sentence>& rows,
                              const RequestOptions& options) const {
  GenerateRequest request;
  request.batch = source_batch(rows, source_dictionary_.special().pad, options.pad_to_multiple);
  if (options.prefix_size > 0) {
    request.prefix_tokens = target_prefixes(rows, options, target_dictionary_.special().pad);
  }
  add_task_tokens(rows, request);
  return request;
}

ScoreRequest Task::score_request(const std::vector<Sentence>& rows,
                                 const RequestOptions& options) const {
  const GenerateRequest generation = request(rows, options);
  ScoreRequest request;
  request.batch = generation.batch;
  for (const Sentence& row : rows) request.targets.push_back(row.target);
  request.start_token = generation.start_token ? generation.start_token : generation.end_token;
  return request;
}

std::vector<Sentence> collate(const GenerationDataset& dataset,
                              const std::vector<std::int64_t>& batch,
                              const CollateOptions& options) {
  std::vector<Sentence> unsorted;
  std::vector<std::int64_t> lengths;
  for (const std::int64_t id : batch) {
    Sentence sentence;
    sentence.id = id;
    sentence.source = dataset.source(id);
    if (dataset.has_targets()) sentence.target = dataset.target(id);
    if (options.texts) {
      sentence.source_text = dataset.source_text(id);
      if (dataset.has_targets()) sentence.target_text = dataset.target_text(id);
    }
    lengths.push_back(std::count_if(sentence.source.begin(), sentence.source.end(),
                                    [&](std::int64_t token) { return token != options.pad; }));
    unsorted.push_back(std::move(sentence));
  }
  if (!dataset.sorts_rows()) return unsorted;
  std::vector<Sentence> rows;
  for (const std::int64_t row : sort_rows_descending(lengths)) {
    rows.push_back(std::move(unsorted[usize(row)]));
  }
  return rows;
}

Generator open_generator(const LoadOptions& load, std::string_view logger) {
  for (const auto& [rounded, name] :
       {std::pair{DType::kFp16, "fp16"}, {DType::kBf16, "bf16"}, {DType::kInt8, "int8"}}) {
    if (load.dtype != rounded) continue;
    fairseq_log(LogLevel::kWarning, logger,
                concat("--dtype ", name,
                       " rounds the weights, and is not lossless: outputs can "
                       "differ from those of fp32"));
  }
  fairseq_log(LogLevel::kInfo, logger, concat("loading model(s) from ", load.model_path));
  Generator generator(load);
  for (const std::string& warning : generator.model_info().warnings)
    fairseq_log(LogLevel::kWarning, logger, warning);
  return generator;
}

Generator load_generator(const Task& task, LoadOptions load, std::string_view logger) {
  task.complete(load);
  return open_generator(load, logger);
}

std::unique_ptr<Task> make_task(const TaskOptions& options) {
  if (options.name == "translation") return make_translation_task(options);
  if (options.name == "language_modeling") return make_language_model_task(options);
  if (options.name == "multilingual_translation") return make_multilingual_task(options);
  if (options.name == "translation_multi_simple_epoch") {
    return make_multi_simple_epoch_task(options);
  }
  if (options.name == "translation_from_pretrained_bart") {
    return make_pretrained_bart_task(options);
  }
  fail(ErrorCode::kUsage, "--task ", options.name, " is not supported yet");
}

}  // namespace elbeam::fairseq
