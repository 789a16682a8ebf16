#include "cli/score_metrics.hpp"

#include <elbeam/eval/evaluation.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "cli/score_options.hpp"
#include "fairseq_bridge/run_tool.hpp"
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

// Files read side by side: one with hypotheses, the others with references, the last with sources
// if there are any.
class ParallelTexts {
 public:
  ParallelTexts(const std::string& system, const ScoreOptions& options) {
    files_.push_back(TextFile::open(system, options.system_text));
    for (const std::string& path : options.references) {
      files_.push_back(TextFile::open(path, options.reference_text));
    }
    if (!options.source.empty()) {
      files_.push_back(TextFile::open(options.source, options.source_text));
      has_source_ = true;
    }
  }

  // Reads up to `count` segments; false when there are none left. They stay valid until the next
  // call.
  bool next(std::size_t count, std::vector<Segment>& segments) {
    texts_.resize(count);
    views_.resize(count);
    segments.clear();
    while (segments.size() < count && read_one(texts_[segments.size()])) {
      const std::vector<std::string>& texts = texts_[segments.size()];
      std::vector<std::string_view>& views = views_[segments.size()];
      views.assign(texts.begin(), texts.end());
      const std::size_t references = views.size() - 1 - (has_source_ ? 1 : 0);
      segments.push_back({views[0], std::span(views).subspan(1, references),
                          has_source_ ? views.back() : std::string_view()});
    }
    return !segments.empty();
  }

  const std::string& system_name() const { return files_.front()->name(); }

 private:
  // Strings change places, so that their memory is used again.
  bool read_one(std::vector<std::string>& all) {
    std::size_t read = 0;
    std::size_t ended = 0;
    for (const auto& file : files_) {
      if (!file->next(one_)) {
        ++ended;
        continue;
      }
      const bool reference = &file != &files_.front() && !(has_source_ && &file == &files_.back());
      ELBEAM_CHECK(reference || one_.size() == 1, ErrorCode::kFormat, file->name(), ": segment ",
                   file->segments(), " has ", one_.size(), " texts where one is expected");
      if (all.size() < read + one_.size()) all.resize(read + one_.size());
      for (std::string& text : one_) all[read++].swap(text);
    }
    if (ended > 0 && ended < files_.size()) fail_at_different_lengths();
    if (ended > 0) return false;
    all.resize(read);
    const std::int64_t references = ssize(all.size()) - 1 - (has_source_ ? 1 : 0);
    ELBEAM_CHECK(references <= eval::kMaxReferences, ErrorCode::kLimit, "segment ",
                 files_.front()->segments(), " has ", references, " references; at most ",
                 eval::kMaxReferences);
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
  bool has_source_ = false;
  std::vector<std::vector<std::string>> texts_;  // of each segment, and so views_
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
      ELBEAM_CHECK(!metrics.back()->needs_source() || !options.source.empty(), ErrorCode::kUsage,
                   one, " compares with the sources: --src FILE is missing");
    }
  }
  const bool resample = options.resampling != ScoreOptions::Resampling::kNone;
  Evaluation evaluation(std::move(metrics), {options.threads, options.segments || resample});
  constexpr std::size_t kSegmentsAtOnce = 256;
  ParallelTexts texts(system, options);
  std::vector<Segment> segments;
  while (texts.next(kSegmentsAtOnce, segments)) evaluation.add(segments);
  ELBEAM_CHECK(evaluation.segments() > 0, ErrorCode::kFormat, texts.system_name(),
               " and its references are empty: there is nothing to score");
  return evaluation;
}

using Results = std::vector<std::vector<eval::ResamplingResult>>;  // [system][metric]

Results resample(const std::vector<Evaluation>& systems, const ScoreOptions& options) {
  Results results(systems.size());
  if (options.resampling == ScoreOptions::Resampling::kNone) return results;
  for (std::size_t m = 0; m < systems.front().metrics(); ++m) {
    std::vector<eval::SystemStatistics> statistics;
    for (const Evaluation& system : systems) statistics.push_back(system.statistics(m));
    const eval::Metric& metric = systems.front().metric(m);
    auto found = options.resampling == ScoreOptions::Resampling::kPairedRandomization
                     ? approximate_randomization(metric, statistics, options.resampling_options)
                     : paired_bootstrap(metric, statistics, options.resampling_options);
    for (std::size_t s = 0; s < found.size(); ++s) {
      if (options.resampling == ScoreOptions::Resampling::kConfidence) found[s].p_value.reset();
      results[s].push_back(found[s]);
    }
  }
  return results;
}

struct Scored {
  explicit Scored(const ScoreOptions& options) {
    for (const std::string& system : options.systems) systems.push_back(evaluate(system, options));
    resampled = resample(systems, options);
  }

  std::vector<Evaluation> systems;
  Results resampled;
};

// What signatures say about it, in sacrebleu's words.
std::string resampling_signature(const ScoreOptions& options) {
  if (options.resampling == ScoreOptions::Resampling::kNone) return {};
  const bool randomization = options.resampling == ScoreOptions::Resampling::kPairedRandomization;
  return concat(randomization ? "ar:" : "bs:", options.resampling_options.samples,
                "|seed:", options.resampling_options.seed);
}

// One system and what is known about it.
struct Report {
  const Evaluation& evaluation;
  const std::vector<eval::ResamplingResult>& resampled;  // empty, or one of each metric
  const ScoreOptions& options;

  std::string signature(std::size_t metric) const {
    eval::SignatureContext context = evaluation.context();
    context.resampling = resampling_signature(options);
    return evaluation.metric(metric).signature(context);
  }
};

Json score_json(const Report& report, std::size_t index) {
  const Evaluation& evaluation = report.evaluation;
  const eval::Score score = evaluation.score(index);
  Json out;
  out["score"] = score.score;
  const auto put = [&out](const char* name, const std::optional<double>& value) {
    if (value) out[name] = *value;
  };
  put("precision", score.precision);
  put("recall", score.recall);
  put("fmeasure", score.fmeasure);
  for (const eval::NamedValue& one : score.further) out[one.name] = one.value;
  if (!report.resampled.empty()) {
    const eval::ResamplingResult& resampled = report.resampled[index];
    put("mean", resampled.mean);
    put("ci", resampled.half_width);
    put("low", resampled.low);
    put("high", resampled.high);
    put("p_value", resampled.p_value);
  }
  out["signature"] = report.signature(index);
  if (report.options.segments) {
    Json& list = out["segments"] = Json::array();
    for (std::int64_t i = 0; i < evaluation.segments(); ++i) {
      list.push_back(evaluation.segment_score(index, i).score);
    }
  }
  return out;
}

Json all_json(const Report& report) {
  Json out;
  std::size_t index = 0;
  for (const std::string& name : report.options.metric_names) {
    const std::size_t count = metrics_of(name).size();
    out[name] = score_json(report, index);
    // A group shows its first member's score, and all of them by their own names.
    for (std::size_t i = 0; count > 1 && i < count; ++i) {
      out[name][report.evaluation.metric(index + i).name()] = score_json(report, index + i);
    }
    index += count;
  }
  return out;
}

// Percentages get as many digits as sacrebleu prints, fractions of one two more.
int digits_of(const eval::Metric& metric) {
  const std::string name = metric.name();
  const bool percent = name == "BLEU" || name.starts_with("chrF") || name == "TER" ||
                       name == "WER" || name == "CER" || name == "exact-match" ||
                       name == "token-f1";
  return percent ? 2 : 4;
}

std::string table(const Report& report, const std::string& system) {
  const Evaluation& evaluation = report.evaluation;
  std::string out;
  for (std::size_t i = 0; i < evaluation.metrics(); ++i) {
    const eval::Score score = evaluation.score(i);
    const int digits = digits_of(evaluation.metric(i));
    const auto format = [digits](double value) { return text::python_fixed(value, digits); };
    std::string name = evaluation.metric(i).name();
    name.resize(std::max<std::size_t>(name.size(), 12), ' ');
    std::string value = format(score.score);
    value.insert(0, value.size() < 9 ? 9 - value.size() : 0, ' ');
    out += name + value;
    if (score.precision && score.recall) {
      out += concat("  (P ", format(*score.precision), ", R ", format(*score.recall), ")");
    }
    if (!report.resampled.empty()) {
      const eval::ResamplingResult& one = report.resampled[i];
      if (one.mean) {
        out += concat("  (mean ", format(*one.mean), ", 95 % ", format(*one.low), " to ",
                      format(*one.high), ")");
      }
      if (one.p_value) out += "  p = " + text::python_fixed(*one.p_value, 4);
    }
    if (!score.details.empty()) out += "  " + score.details;
    out += "\n             " + report.signature(i) + "\n";
  }
  return out + concat(evaluation.segments(), " segments of ", system, "\n");
}

}  // namespace

bool asks_for_metrics(const std::vector<std::string>& arguments) {
  return std::any_of(arguments.begin(), arguments.end(), [](const std::string& argument) {
    return argument == "--metrics" || argument.starts_with("--metrics=");
  });
}

Json score_systems(const ScoreOptions& options) {
  const Scored scored(options);
  Json all = Json::array();
  for (std::size_t s = 0; s < scored.systems.size(); ++s) {
    const Report report{scored.systems[s], scored.resampled[s], options};
    all.push_back({{"system", options.systems[s]}, {"metrics", all_json(report)}});
  }
  return all;
}

void run_score_metrics(const std::vector<std::string>& arguments) {
  const ScoreOptions options = parse_score_options(arguments);
  if (options.help) return fairseq::print_text(score_help());
  if (options.json) {
    const Json all = score_systems(options);
    // One system: its metrics, and nothing around them.
    const Json json = all.size() == 1 ? all[0]["metrics"] : Json{{"systems", all}};
    return fairseq::print_text(json.dump() + "\n");
  }
  const Scored scored(options);
  std::string tables;
  for (std::size_t s = 0; s < scored.systems.size(); ++s) {
    const Report report{scored.systems[s], scored.resampled[s], options};
    tables += (s == 0 ? "" : "\n") + table(report, options.systems[s]);
  }
  fairseq::print_text(tables);
}

}  // namespace elbeam::cli
