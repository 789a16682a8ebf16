// elbeam.eval: metrics over lists of texts. backend/python/elbeam/eval.py is what users import.
#include <elbeam/eval/evaluation.hpp>
#include <elbeam/eval/metrics.hpp>
#include <elbeam/eval/significance.hpp>
#include <elbeam/eval/text_file.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "python/bindings.hpp"

#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace elbeam::python {
namespace {

namespace py = pybind11;

using eval::Evaluation;
using Texts = std::vector<std::string>;

// What Python gives: texts of each segment; `sources` is empty or has one of each segment.
struct Corpus {
  std::vector<Texts> references;
  Texts sources;
};

struct EvaluationRequest {
  std::vector<std::string> metrics;
  eval::MetricOptions options;
  int threads = 0;
  bool keep_segments = false;
};

// Takes the option out of `arguments` if it is there.
template <typename Target>
void take(py::dict& arguments, const char* name, Target& target) {
  if (!arguments.contains(name)) return;
  const py::object value = arguments.attr("pop")(name);
  try {
    target = value.cast<Target>();
  } catch (const py::cast_error&) {
    fail(ErrorCode::kUsage, "option ", name, ": a value of type ",
         std::string(py::str(py::type::of(value).attr("__name__"))), " does not fit");
  }
}

eval::MetricOptions metric_options(const py::dict& given) {
  py::dict arguments(given.attr("copy")());
  eval::MetricOptions o;
  take(arguments, "tokenize", o.bleu.tokenize);
  take(arguments, "smooth_method", o.bleu.smooth_method);
  take(arguments, "smooth_value", o.bleu.smooth_value);
  take(arguments, "max_order", o.bleu.max_order);
  take(arguments, "effective_order", o.bleu.effective_order);
  take(arguments, "lowercase", o.bleu.lowercase);
  o.chrf.lowercase = o.wer.lowercase = o.bleu.lowercase;
  take(arguments, "char_order", o.chrf.char_order);
  take(arguments, "word_order", o.chrf.word_order);
  take(arguments, "beta", o.chrf.beta);
  take(arguments, "whitespace", o.chrf.whitespace);
  take(arguments, "eps_smoothing", o.chrf.eps_smoothing);
  take(arguments, "normalized", o.ter.normalized);
  take(arguments, "no_punct", o.ter.no_punct);
  take(arguments, "asian_support", o.ter.asian_support);
  take(arguments, "case_sensitive", o.ter.case_sensitive);
  take(arguments, "stemmer", o.rouge.stemmer);
  o.rouge155.stemmer = o.rouge.stemmer;
  take(arguments, "wordnet", o.meteor.wordnet_folder);
  for (const auto& [name, value] : arguments) {
    fail(
        ErrorCode::kUsage, "unknown option ", quoted(std::string(py::str(name))),
        "; there are tokenize, smooth_method, smooth_value, max_order, effective_order, "
        "lowercase, char_order, word_order, beta, whitespace, eps_smoothing, normalized, no_punct, "
        "asian_support, case_sensitive, stemmer and wordnet");
  }
  return o;
}

Evaluation evaluate(const Texts& hypotheses, const Corpus& corpus,
                    const EvaluationRequest& request) {
  ELBEAM_CHECK(hypotheses.size() == corpus.references.size(), ErrorCode::kUsage, "there are ",
               hypotheses.size(), " hypotheses and references of ", corpus.references.size(),
               " segments");
  ELBEAM_CHECK(corpus.sources.empty() || corpus.sources.size() == hypotheses.size(),
               ErrorCode::kUsage, "there are ", hypotheses.size(), " hypotheses and ",
               corpus.sources.size(), " sources");
  std::vector<std::unique_ptr<const eval::Metric>> metrics;
  for (const std::string& name : request.metrics) {
    metrics.push_back(eval::make_metric(name, request.options));
    ELBEAM_CHECK(!metrics.back()->needs_source() || !corpus.sources.empty(), ErrorCode::kUsage,
                 name, " compares with the sources: none are given");
  }
  Evaluation evaluation(std::move(metrics), {request.threads, request.keep_segments});
  std::vector<std::vector<std::string_view>> views;
  std::vector<eval::Segment> segments;
  for (std::size_t i = 0; i < hypotheses.size(); ++i) {
    const Texts& references = corpus.references[i];
    ELBEAM_CHECK(ssize(references.size()) <= eval::kMaxReferences, ErrorCode::kLimit, "segment ",
                 i + 1, " has ", references.size(), " references; at most ", eval::kMaxReferences);
    views.emplace_back(references.begin(), references.end());
  }
  for (std::size_t i = 0; i < hypotheses.size(); ++i) {
    const std::string_view source = corpus.sources.empty() ? std::string_view() : corpus.sources[i];
    segments.push_back({hypotheses[i], views[i], source});
  }
  evaluation.add(segments);
  return evaluation;
}

void put(py::dict& out, const char* name, const std::optional<double>& value) {
  if (value) out[name] = *value;
}

py::dict score_dict(const Evaluation& evaluation, std::size_t metric) {
  const eval::Score score = evaluation.score(metric);
  py::dict out;
  out["score"] = score.score;
  put(out, "precision", score.precision);
  put(out, "recall", score.recall);
  put(out, "fmeasure", score.fmeasure);
  for (const eval::NamedValue& one : score.further) out[py::str(one.name)] = one.value;
  out["signature"] = evaluation.signature(metric);
  return out;
}

py::dict score(const Texts& hypotheses, const std::vector<Texts>& references, const Texts& sources,
               const py::dict& arguments) {
  EvaluationRequest request;
  py::dict rest(arguments.attr("copy")());
  take(rest, "metrics", request.metrics);
  take(rest, "threads", request.threads);
  take(rest, "segments", request.keep_segments);
  request.options = metric_options(rest);
  const Evaluation evaluation = [&] {
    const py::gil_scoped_release release;
    return evaluate(hypotheses, {references, sources}, request);
  }();
  py::dict all;
  for (std::size_t m = 0; m < request.metrics.size(); ++m) {
    py::dict one = score_dict(evaluation, m);
    if (request.keep_segments) {
      py::list list;
      for (std::int64_t i = 0; i < evaluation.segments(); ++i) {
        list.append(evaluation.segment_score(m, i).score);
      }
      one["segments"] = list;
    }
    all[py::str(request.metrics[m])] = one;
  }
  return all;
}

py::list compare(const std::vector<Texts>& systems, const std::vector<Texts>& references,
                 const Texts& sources, const py::dict& arguments) {
  EvaluationRequest request;
  request.keep_segments = true;
  bool randomization = false;
  eval::ResamplingOptions resampling;
  py::dict rest(arguments.attr("copy")());
  take(rest, "metrics", request.metrics);
  take(rest, "threads", request.threads);
  take(rest, "randomization", randomization);
  take(rest, "samples", resampling.samples);
  take(rest, "seed", resampling.seed);
  resampling.threads = request.threads;
  request.options = metric_options(rest);
  std::vector<Evaluation> evaluations;
  std::vector<std::vector<eval::ResamplingResult>> results;
  {
    const py::gil_scoped_release release;
    for (const Texts& system : systems) {
      evaluations.push_back(evaluate(system, {references, sources}, request));
    }
    for (std::size_t m = 0; m < request.metrics.size(); ++m) {
      std::vector<eval::SystemStatistics> statistics;
      for (const Evaluation& one : evaluations) statistics.push_back(one.statistics(m));
      const eval::Metric& metric = evaluations.front().metric(m);
      results.push_back(randomization ? approximate_randomization(metric, statistics, resampling)
                                      : paired_bootstrap(metric, statistics, resampling));
    }
  }
  py::list all;
  for (std::size_t s = 0; s < systems.size(); ++s) {
    py::dict scores;
    for (std::size_t m = 0; m < request.metrics.size(); ++m) {
      const eval::ResamplingResult& result = results[m][s];
      py::dict one = score_dict(evaluations[s], m);
      put(one, "mean", result.mean);
      put(one, "ci", result.half_width);
      put(one, "low", result.low);
      put(one, "high", result.high);
      put(one, "p_value", result.p_value);
      scores[py::str(request.metrics[m])] = one;
    }
    all.append(scores);
  }
  return all;
}

}  // namespace

void register_evaluation(py::module_& module) {
  module.def("_score", &score);
  module.def("_compare", &compare);
}

}  // namespace elbeam::python
