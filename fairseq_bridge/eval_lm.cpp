#include "fairseq_bridge/eval_lm.hpp"

#include <elbeam/generator.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/batching.hpp"
#include "fairseq_bridge/eval_lm_options.hpp"
#include "fairseq_bridge/fairseq_log.hpp"
#include "fairseq_bridge/interrupt.hpp"
#include "fairseq_bridge/language_model_task.hpp"
#include "fairseq_bridge/output_file.hpp"
#include "fairseq_bridge/progress_bar.hpp"
#include "fairseq_bridge/run_tool.hpp"
#include "fairseq_bridge/task.hpp"
#include "text/python_format.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <numeric>
#include <utility>

namespace elbeam::fairseq {
namespace {

constexpr char kLogger[] = "fairseq_cli.eval_lm";
constexpr std::uint32_t kShuffleSeed =
    2;  // get_batch_iterator: seed + epoch; --seed does not count

using Clock = std::chrono::steady_clock;
using Indices = std::vector<std::int64_t>;

// Samples that the model can read; the others are left out with fairseq's warning.
Indices short_enough(const MonolingualDataset& dataset, const Indices& order,
                     std::int64_t longest) {
  Indices kept;
  Indices ignored;
  for (const std::int64_t index : order) {
    (dataset.sample_size(index) <= longest ? kept : ignored).push_back(index);
  }
  if (ignored.empty()) return kept;
  std::string first;
  for (std::size_t i = 0; i < std::min<std::size_t>(ignored.size(), 10); ++i) {
    first += (i == 0 ? "" : ", ") + std::to_string(ignored[i]);
  }
  fairseq_log(LogLevel::kWarning, "fairseq.tasks.fairseq_task",
              concat(text::python_thousands(ssize(ignored.size())),
                     " samples have invalid sizes and will be skipped, max_positions=", longest,
                     ", first few sample ids=[", first, "]"));
  return kept;
}

// The batches of this shard, in fairseq's order.
std::vector<Indices> plan_batches(const MonolingualDataset& dataset, const EvalLmOptions& options,
                                  std::int64_t longest) {
  Indices order(usize(dataset.size()));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  // With a context window the text stays in its order.
  if (options.context_window == 0) order = dataset.ordered_indices(kShuffleSeed);
  order = short_enough(dataset, order, longest);
  Indices sizes;
  for (const std::int64_t index : order) sizes.push_back(dataset.sample_size(index));
  std::vector<Indices> batches;
  std::int64_t number = 0;
  auto position = order.begin();
  for (const std::int64_t size : batch_sizes(sizes, options.batch)) {
    if (number++ % options.shards == options.shard) batches.emplace_back(position, position + size);
    position += size;
  }
  return batches;
}

class Evaluation {
 public:
  Evaluation(const Generator& generator, const MonolingualDataset& dataset,
             const text::Dictionary& dictionary, const EvalLmOptions& options)
      : generator_(generator),
        dataset_(dataset),
        options_(options),
        eos_(dictionary.special().eos),
        statistics_(dictionary, options.statistics),
        window_(options.context_window,
                checked_add(options.samples.tokens_per_sample, options.context_window)),
        output_(OutputFile::standard_output()) {}

  void add(const Indices& batch) {
    std::vector<MonolingualDataset::Sample> samples;
    ScoreRequest request;
    request.batch.padded_length = 1;
    for (const std::int64_t index : batch) {
      const auto& sample = samples.emplace_back(dataset_.sample(index));
      request.batch.sentences.push_back({eos_});  // of no meaning to a language model
      tokens_ += ssize(sample.source.size());
      auto input = options_.context_window > 0 ? window_.extend(sample.source) : sample.source;
      // Nobody asks for what is predicted within the context.
      std::vector<std::int64_t> target(input.begin(), input.end() - ssize(sample.target.size()));
      target.insert(target.end(), sample.target.begin(), sample.target.end());
      request.inputs.push_back(std::move(input));
      request.targets.push_back(std::move(target));
    }
    const Clock::time_point start = Clock::now();
    const auto results = score(request);
    seconds_ += std::chrono::duration<double>(Clock::now() - start).count();
    for (std::size_t i = 0; i < samples.size(); ++i) {
      add_sample(batch[i], samples[i].target, results[i].hypotheses.front().positional_scores);
    }
    output_.flush();
  }

  void finish() {
    say(concat("Evaluated ", text::python_thousands(tokens_), " tokens in ",
               text::python_fixed(seconds_, 1), "s (",
               text::python_fixed(seconds_ > 0 ? static_cast<double>(tokens_) / seconds_ : 0.0, 2),
               " tokens/s)"));
    for (const std::string& line : statistics_.word_lines()) say(line);
    say(concat(
        "Loss (base 2): ", text::python_fixed(static_cast<double>(statistics_.loss()), 4),
        ", Perplexity: ", text::python_fixed(static_cast<double>(statistics_.perplexity()), 2)));
    output_.flush();
  }

 private:
  std::vector<SentenceResult> score(const ScoreRequest& request) const {
    const DecodingScope scope;
    return generator_.score(request);
  }

  void add_sample(std::int64_t id, const Indices& target, const std::vector<float>& scores) {
    ScoredTokens scored{id, target, {scores.end() - ssize(target.size()), scores.end()}};
    if (options_.samples.add_bos_token) {
      scored.tokens.erase(scored.tokens.begin());
      scored.scores.erase(scored.scores.begin());
    }
    const std::string line = statistics_.add(std::move(scored));
    if (options_.statistics.word_probs) say(line);
  }

  // A line of the result, in the form of a log line as in fairseq.
  void say(const std::string& message) {
    if (options_.results_to_log) {
      fairseq_log(LogLevel::kInfo, kLogger, message);
    } else {
      output_.append(fairseq_log_line(LogLevel::kInfo, kLogger, message));
    }
  }

  const Generator& generator_;
  const MonolingualDataset& dataset_;
  const EvalLmOptions& options_;
  std::int64_t eos_;
  LmStatistics statistics_;
  ContextWindow window_;
  OutputFile output_;
  std::int64_t tokens_ = 0;
  double seconds_ = 0.0;
};

void evaluate(const EvalLmOptions& options) {
  LoadOptions load = options.load;
  const auto [dictionary_path, dictionary] =
      load_language_model_dictionary(options.data, load.model_path);
  load.target_dictionary_path = dictionary_path;
  const Generator generator = open_generator(load, kLogger);
  fairseq_log(
      LogLevel::kInfo, kLogger,
      concat("num. model params: ", text::python_thousands(generator.model_info().parameters)));
  const MonolingualDataset dataset = load_monolingual_dataset(
      options.data, options.subset, options.impl, dictionary, options.samples);
  fairseq_log(LogLevel::kInfo, kLogger,
              concat(options.data, " ", options.subset, " ", text::python_thousands(dataset.size()),
                     " examples"));
  const auto batches = plan_batches(dataset, options, generator.model_info().max_target_positions);
  std::int64_t planned = 0;
  for (const Indices& batch : batches) planned += ssize(batch.size());
  Evaluation evaluation(generator, dataset, dictionary, options);
  {
    ProgressBar progress(planned, options.progress_bar);
    std::int64_t done = 0;
    for (const Indices& batch : batches) {
      evaluation.add(batch);
      done += ssize(batch.size());
      progress.update(done);
    }
  }
  evaluation.finish();
}

}  // namespace

std::vector<std::int64_t> ContextWindow::extend(const std::vector<std::int64_t>& source) {
  const std::int64_t extra = ssize(previous_.size()) + ssize(source.size()) - longest_;
  if (extra > 0) {
    previous_.erase(previous_.begin(),
                    previous_.begin() + std::min(extra, ssize(previous_.size())));
  }
  std::vector<std::int64_t> input = std::move(previous_);
  input.insert(input.end(), source.begin(), source.end());
  previous_.assign(input.end() - std::min(size_, ssize(input.size())), input.end());
  return input;
}

void run_eval_lm(const std::vector<std::string>& arguments) {
  const EvalLmCommand command = parse_eval_lm(arguments);
  switch (command.action) {
    case EvalLmAction::kHelp:
      return print_text(eval_lm_help());
    case EvalLmAction::kVersion:
      return print_text(concat("elbeam-eval-lm ", version(), "\n"));
    case EvalLmAction::kEvaluate:
      return evaluate(command.options);
  }
}

}  // namespace elbeam::fairseq
