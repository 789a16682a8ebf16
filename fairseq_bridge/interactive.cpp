#include "fairseq_bridge/interactive.hpp"

#include <elbeam/random.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/batching.hpp"
#include "fairseq_bridge/fairseq_log.hpp"
#include "fairseq_bridge/inference_dataset.hpp"
#include "fairseq_bridge/interrupt.hpp"
#include "fairseq_bridge/result_lines.hpp"
#include "fairseq_bridge/run_tool.hpp"
#include "runtime/scheduler.hpp"
#include "text/python_format.hpp"
#include "text/python_string.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

namespace elbeam::fairseq {
namespace {

constexpr char kLogger[] = "fairseq_cli.interactive";
constexpr std::uint32_t kShuffleSeed =
    2;  // get_batch_iterator: seed + epoch; --seed does not count

using Clock = std::chrono::steady_clock;
using Tokens = std::vector<std::int64_t>;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// str.split("\t").
std::vector<std::string> split_at_tabs(const std::string& line) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0;;) {
    const std::size_t end = line.find('\t', begin);
    parts.push_back(line.substr(begin, end - begin));
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

// The lines of one block, encoded.
struct Block {
  std::vector<InferenceDataset::Line> lines;
  std::vector<std::vector<Tokens>> constraints;  // of each line; empty without --constraints
};

class Session {
 public:
  Session(const InteractiveJob& job, OutputFile& output)
      : job_(job),
        output_(output),
        lines_(job.options.output, {job.task.source_dictionary(), job.task.target_dictionary(),
                                    /*has_targets=*/false, job.task.hidden_tokens()}),
        size_limits_(job.task.size_limits(job.generator.model_info())),
        random_(job.options.seed) {
    if (job.options.search.strategy == Strategy::kSampling) {
      const auto draws = job.generator.model_info().initialisation_draws;
      random_.skip(static_cast<std::uint64_t>(draws.value_or(0)));
    }
    size_limits_.skip_invalid = job.options.skip_invalid_size;
  }

  void translate(const std::vector<std::string>& lines) {
    Block block = encode(lines);
    const InferenceDataset dataset(std::move(block.lines), job_.task.inference_order());
    const auto order = filter_by_size(dataset, dataset.ordered_indices(kShuffleSeed), size_limits_);
    random_.skip(2);  // fairseq opens an iterator over the data for each block
    std::vector<Answer> answers = translate_batches(dataset, order, block.constraints);
    std::vector<std::string> results(lines.size());  // of each line; "" where it was skipped
    for (Answer& answer : answers) write(answer, block.constraints, ssize(order.size()), results);
    for (const std::string& result : results) output_.append(result);
    output_.flush();
    first_id_ += ssize(lines.size());
  }

  double seconds() const { return seconds_; }

 private:
  Block encode(const std::vector<std::string>& lines) const {
    Block block;
    for (const std::string& line : lines) {
      const std::int64_t id = ssize(block.lines.size());
      if (!job_.options.constraints) {
        block.lines.push_back(encode_source(id, line));
        continue;
      }
      const std::vector<std::string> parts = split_at_tabs(line);
      block.lines.push_back(encode_source(id, parts.front()));
      std::vector<Tokens>& constraints = block.constraints.emplace_back();
      for (std::size_t i = 1; i < parts.size(); ++i) {
        constraints.push_back(job_.task.target_dictionary().encode_line(lines_.encode(parts[i])));
        constraints.back().pop_back();  // eos
      }
    }
    return block;
  }

  InferenceDataset::Line encode_source(std::int64_t id, const std::string& line) const {
    std::string words = lines_.encode(line);
    Tokens tokens = job_.task.source_dictionary().encode_line(words);
    const std::int64_t size = ssize(tokens.size());
    return {job_.task.inference_sample(id, std::move(tokens)).source, size, std::move(words)};
  }

  // A batch and what was found for it.
  struct Answer {
    std::vector<Sentence> rows;
    std::vector<SentenceResult> found;
  };

  std::vector<Answer> translate_batches(const InferenceDataset& dataset,
                                        const std::vector<std::int64_t>& order,
                                        const std::vector<std::vector<Tokens>>& constraints) {
    const auto batches = batch_by_size(dataset, order, job_.options.batch);
    std::vector<Answer> answers;
    answers.reserve(batches.size());
    const auto next = [&]() -> std::optional<GenerateRequest> {
      if (answers.size() == batches.size()) return std::nullopt;
      answers.push_back({collate(dataset, batches[answers.size()],
                                 {job_.task.source_dictionary().special().pad,
                                  job_.options.output.replace_unk.has_value()}),
                         {}});
      return request(answers.back().rows, constraints);
    };
    std::size_t answered = 0;
    runtime::Scheduler scheduler(job_.generator, job_.options.search, job_.options.schedule);
    const DecodingScope scope;
    scheduler.run(next, [&](std::vector<SentenceResult> found) {
      answers[answered++].found = std::move(found);
    });
    block_seconds_ = scheduler.counters().seconds;
    seconds_ += block_seconds_;
    return answers;
  }

  GenerateRequest request(const std::vector<Sentence>& rows,
                          const std::vector<std::vector<Tokens>>& constraints) {
    GenerateRequest request = job_.task.request(rows, {});
    request.random = &random_;
    for (const Sentence& row : rows) request.sentence_ids.push_back(first_id_ + row.id);
    request.attention =
        needs_attention(job_.options.output) || job_.options.search.coverage_penalty > 0;
    if (!constraints.empty()) {
      for (const Sentence& row : rows) request.constraints.push_back(constraints[usize(row.id)]);
    }
    return request;
  }

  // Puts the output of a batch's lines into `results`; `sentences` is how many the block has.
  void write(Answer& answer, const std::vector<std::vector<Tokens>>& constraints,
             std::int64_t sentences, std::vector<std::string>& results) {
    for (std::size_t i = 0; i < answer.rows.size(); ++i) {
      const auto line = usize(answer.rows[i].id);
      InteractiveLines extra;
      extra.seconds = block_seconds_ / static_cast<double>(sentences);
      if (!constraints.empty()) extra.constraints = constraints[line];
      answer.rows[i].id += first_id_;
      results[line] = lines_.add_interactive(answer.rows[i], answer.found[i].hypotheses, extra);
    }
  }

  const InteractiveJob& job_;
  OutputFile& output_;
  ResultLines lines_;
  SizeLimits size_limits_;
  RandomStream random_;        // what fairseq's CPU generator would give
  std::int64_t first_id_ = 0;  // of the block
  double seconds_ = 0.0;
  double block_seconds_ = 0.0;
};

// The next lines, stripped as Python strips; fewer than `size` at the end of the input.
std::vector<std::string> read_block(LineReader& input, std::int64_t size) {
  std::vector<std::string> lines;
  while (ssize(lines.size()) < size) {
    const auto line = input.next();
    if (!line) break;
    lines.emplace_back(text::strip(*line));
  }
  return lines;
}

}  // namespace

void translate_lines(const InteractiveJob& job, LineReader& input, OutputFile& output) {
  const Clock::time_point start = Clock::now();
  Session session(job, output);
  for (;;) {
    const auto lines = read_block(input, job.options.buffer_size);
    if (lines.empty()) break;
    session.translate(lines);
  }
  fairseq_log(LogLevel::kInfo, kLogger,
              concat("Total time: ", text::python_fixed(seconds_since(start), 3),
                     " seconds; translation time: ", text::python_fixed(session.seconds(), 3)));
}

namespace {

void translate(InteractiveOptions options) {
  // Opened first: a wrong name must not cost the time to load a model.
  LineReader input(options.input);
  const std::unique_ptr<Task> task = make_task(options.task);
  options.search.suppressed_sequences =
      read_suppressed(options.suppress_path, task->target_dictionary());
  const Generator generator = load_generator(*task, options.load, kLogger);
  if (options.constraints) {
    fairseq_log(LogLevel::kWarning, kLogger,
                "NOTE: Constrained decoding currently assumes a shared subword vocabulary.");
  }
  if (options.buffer_size > 1) {
    fairseq_log(LogLevel::kInfo, kLogger, concat("Sentence buffer size: ", options.buffer_size));
  }
  fairseq_log(LogLevel::kInfo, kLogger, "NOTE: hypothesis and token scores are output in base 2");
  fairseq_log(LogLevel::kInfo, kLogger, "Type the input sentence and press return:");
  OutputFile output = OutputFile::standard_output();
  translate_lines({options, generator, *task}, input, output);
}

}  // namespace

void run_interactive(const std::vector<std::string>& arguments) {
  const InteractiveCommand command = parse_interactive(arguments);
  switch (command.action) {
    case InteractiveAction::kHelp:
      return print_text(interactive_help());
    case InteractiveAction::kVersion:
      return print_text(concat("elbeam-interactive ", version(), "\n"));
    case InteractiveAction::kTranslate:
      return translate(command.options);
  }
}

}  // namespace elbeam::fairseq
