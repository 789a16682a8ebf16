#include "cli/score_metrics.hpp"

#include <elbeam/eval/evaluation.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "cli/score_options.hpp"
#include "fairseq_bridge/output_file.hpp"
#include "text/python_format.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>

namespace elbeam::cli {
namespace {

using eval::Evaluation;
using eval::Segment;
using eval::TextFile;
using Json = nlohmann::ordered_json;

// Files read side by side: one with hypotheses, the others with references.
class ParallelTexts {
 public:
  ParallelTexts(const std::string& system, const ScoreOptions& options) {
    files_.push_back(TextFile::open(system, options.system_text));
    for (const std::string& path : options.references) {
      files_.push_back(TextFile::open(path, options.reference_text));
    }
  }

  // Reads up to `count` segments; false when there are none left. They stay valid until the next
  // call.
  bool next(std::size_t count, std::vector<Segment>& segments) {
    texts_.clear();
    while (texts_.size() < count && read_one()) {
    }
    views_.clear();
    for (const std::vector<std::string>& texts : texts_) {
      views_.emplace_back(texts.begin(), texts.end());
    }
    segments.clear();
    for (const std::vector<std::string_view>& views : views_) {
      segments.push_back({views[0], std::span(views).subspan(1), {}});
    }
    return !segments.empty();
  }

  const std::string& system_name() const { return files_.front()->name(); }

 private:
  bool read_one() {
    std::vector<std::string> all;
    std::size_t ended = 0;
    for (const auto& file : files_) {
      if (!file->next(one_)) {
        ++ended;
        continue;
      }
      ELBEAM_CHECK(&file != &files_.front() || one_.size() == 1, ErrorCode::kFormat, file->name(),
                   ": segment ", file->segments(), " has ", one_.size(),
                   " hypotheses; one is "
                   "scored");
      std::move(one_.begin(), one_.end(), std::back_inserter(all));
    }
    if (ended > 0 && ended < files_.size()) fail_at_different_lengths();
    if (ended > 0) return false;
    ELBEAM_CHECK(ssize(all.size()) - 1 <= eval::kMaxReferences, ErrorCode::kLimit, "segment ",
                 files_.front()->segments(), " has ", all.size() - 1, " references; at most ",
                 eval::kMaxReferences);
    texts_.push_back(std::move(all));
    return true;
  }

  // Reads on to the end, to be able to say how many there are of each.
  [[noreturn]] void fail_at_different_lengths() {
    std::int64_t shortest = files_.front()->segments();
    for (const auto& file : files_) shortest = std::min(shortest, file->segments());
    std::string list;
    for (const auto& file : files_) {
      while (file->next(one_)) {
      }
      list += concat(list.empty() ? "" : ", ", file->name(), " has ", file->segments());
    }
    fail(ErrorCode::kFormat, "the files differ in their number of segments: ", list, "; segment ",
         shortest + 1, " is the first that not all have");
  }

  std::vector<std::unique_ptr<TextFile>> files_;
  std::vector<std::vector<std::string>> texts_;
  std::vector<std::vector<std::string_view>> views_;
  std::vector<std::string> one_;
};

// A name on the command line and the metrics that it stands for: several for "rouge155".
std::vector<std::string> metrics_of(const std::string& name) {
  if (name == "rouge155") return {"rouge155-1", "rouge155-2", "rouge155-L"};
  return {name};
}

Evaluation evaluate(const std::string& system, const ScoreOptions& options) {
  std::vector<std::unique_ptr<const eval::Metric>> metrics;
  for (const std::string& name : options.metric_names) {
    for (const std::string& one : metrics_of(name)) {
      metrics.push_back(eval::make_metric(one, options.metrics));
    }
  }
  Evaluation evaluation(std::move(metrics), {options.threads, options.segments});
  constexpr std::size_t kSegmentsAtOnce = 4096;
  ParallelTexts texts(system, options);
  std::vector<Segment> segments;
  while (texts.next(kSegmentsAtOnce, segments)) evaluation.add(segments);
  ELBEAM_CHECK(evaluation.segments() > 0, ErrorCode::kFormat, texts.system_name(),
               " and its references are empty: there is nothing to score");
  return evaluation;
}

Json score_json(const Evaluation& evaluation, std::size_t index, bool segments) {
  const eval::Score score = evaluation.score(index);
  Json out;
  out["score"] = score.score;
  if (score.precision) out["precision"] = *score.precision;
  if (score.recall) out["recall"] = *score.recall;
  if (score.fmeasure) out["fmeasure"] = *score.fmeasure;
  for (const eval::NamedValue& one : score.further) out[one.name] = one.value;
  out["signature"] = evaluation.signature(index);
  if (segments) {
    Json& list = out["segments"] = Json::array();
    for (std::int64_t i = 0; i < evaluation.segments(); ++i) {
      list.push_back(evaluation.segment_score(index, i).score);
    }
  }
  return out;
}

Json all_json(const Evaluation& evaluation, const ScoreOptions& options) {
  Json out;
  std::size_t index = 0;
  for (const std::string& name : options.metric_names) {
    const std::size_t count = metrics_of(name).size();
    out[name] = score_json(evaluation, index, options.segments);
    // A group shows its first member's score, and all of them by their own names.
    for (std::size_t i = 0; count > 1 && i < count; ++i) {
      out[name][evaluation.metric(index + i).name()] =
          score_json(evaluation, index + i, options.segments);
    }
    index += count;
  }
  return out;
}

std::string table(const Evaluation& evaluation, const ScoreOptions& options) {
  std::string out;
  for (std::size_t i = 0; i < evaluation.metrics(); ++i) {
    const eval::Score score = evaluation.score(i);
    std::string name = evaluation.metric(i).name();
    name.resize(std::max<std::size_t>(name.size(), 10), ' ');
    // Scores are percentages or fractions of one; four digits tell the same in both.
    const bool fraction = score.fmeasure.has_value();
    std::string value = text::python_fixed(score.score, fraction ? 4 : 2);
    value.insert(0, value.size() < 9 ? 9 - value.size() : 0, ' ');
    out += name + value;
    if (score.precision && score.recall) {
      out += concat("  (P ", text::python_fixed(*score.precision, 4), ", R ",
                    text::python_fixed(*score.recall, 4), ")");
    }
    if (!score.details.empty()) out += "  " + score.details;
    out += "\n           " + evaluation.signature(i) + "\n";
  }
  return out + concat(evaluation.segments(), " segments of ", options.systems.front(), "\n");
}

void print(const std::string& text) {
  auto output = fairseq::OutputFile::standard_output();
  output.append(text);
  output.flush();
}

}  // namespace

bool asks_for_metrics(const std::vector<std::string>& arguments) {
  return std::any_of(arguments.begin(), arguments.end(), [](const std::string& argument) {
    return argument == "--metrics" || argument.starts_with("--metrics=");
  });
}

void run_score_metrics(const std::vector<std::string>& arguments) {
  const ScoreOptions options = parse_score_options(arguments);
  if (options.help) return print(score_help());
  if (options.systems.size() == 1) {
    const Evaluation evaluation = evaluate(options.systems.front(), options);
    return print(options.json ? all_json(evaluation, options).dump() + "\n"
                              : table(evaluation, options));
  }
  Json all = Json::array();
  std::string tables;
  for (const std::string& system : options.systems) {
    ScoreOptions one = options;
    one.systems = {system};
    const Evaluation evaluation = evaluate(system, one);
    all.push_back({{"system", system}, {"metrics", all_json(evaluation, one)}});
    tables += table(evaluation, one) + "\n";
  }
  print(options.json ? Json{{"systems", all}}.dump() + "\n" : tables);
}

}  // namespace elbeam::cli
