#include "base/check.hpp"
#include "python/bindings.hpp"

#include <pybind11/stl.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace elbeam::python {
namespace {

namespace py = pybind11;

template <typename Options>
using Setters = std::map<std::string_view, std::function<void(Options&, const py::handle&)>>;

template <typename Options, typename Value>
auto member(Value Options::*field) {
  return [field](Options& options, const py::handle& value) {
    options.*field = py::cast<Value>(value);
  };
}

template <typename Options, typename Value>
auto choice(Value Options::*field, std::map<std::string, Value> values) {
  return [field, values = std::move(values)](Options& options, const py::handle& value) {
    const auto found = values.find(value.cast<std::string>());
    std::string names;
    for (const auto& [name, unused] : values) names += (names.empty() ? "" : ", ") + name;
    ELBEAM_CHECK(found != values.end(), ErrorCode::kUsage, "expected one of ", names, ", got ",
                 value.cast<std::string>());
    options.*field = found->second;
  };
}

template <typename Options>
Options from_arguments(const py::dict& arguments, const Setters<Options>& setters) {
  Options options;
  for (const auto& [key, value] : arguments) {
    const auto name = py::cast<std::string>(key);
    const auto setter = setters.find(name);
    std::string known;
    for (const auto& [other, unused] : setters) {
      known += (known.empty() ? "" : ", ") + std::string(other);
    }
    ELBEAM_CHECK(setter != setters.end(), ErrorCode::kUsage, "there is no option ", name,
                 " (there are: ", known, ")");
    try {
      setter->second(options, value);
    } catch (const py::cast_error&) {
      fail(ErrorCode::kUsage, "option ", name, ": a value of type ",
           std::string(py::str(py::type::of(value).attr("__name__"))), " does not fit");
    } catch (const Error& error) {
      fail(error.code(), "option ", name, ": ", error.what());
    }
  }
  options.validate();
  return options;
}

}  // namespace

LoadOptions load_options(const py::dict& arguments) {
  using O = LoadOptions;
  static const Setters<O> setters{
      {"model_path", member(&O::model_path)},
      {"source_dictionary_path", member(&O::source_dictionary_path)},
      {"target_dictionary_path", member(&O::target_dictionary_path)},
      {"engine",
       choice(&O::engine, {{"native", Engine::kNative}, {"torchscript", Engine::kTorchScript}})},
      {"attention",
       choice(&O::attention,
              {{"auto", Attention::kAuto}, {"el", Attention::kEl}, {"mha", Attention::kMha}})},
      {"dtype", choice(&O::dtype, {{"fp32", DType::kFp32},
                                   {"fp64", DType::kFp64},
                                   {"fp16", DType::kFp16},
                                   {"bf16", DType::kBf16},
                                   {"int8", DType::kInt8}})},
      {"threads", member(&O::threads)},
      {"extra_symbols", member(&O::extra_symbols)},
      {"ensemble_paths", member(&O::ensemble_paths)},
      {"lm_path", member(&O::lm_path)},
      {"lm_dictionary_path", member(&O::lm_dictionary_path)},
      {"lm_weight", member(&O::lm_weight)},
      {"half_weights", member(&O::half_weights)},
      {"language_pair", member(&O::language_pair)},
      {"model_overrides", member(&O::model_overrides)},
      {"pack_cache", member(&O::pack_cache)},
      {"pack_cache_folder", member(&O::pack_cache_folder)},
  };
  return from_arguments(arguments, setters);
}

SearchOptions search_options(const py::dict& arguments) {
  using O = SearchOptions;
  static const Setters<O> setters{
      {"beam", member(&O::beam)},
      {"nbest", member(&O::nbest)},
      {"min_len", member(&O::min_len)},
      {"max_len_a", member(&O::max_len_a)},
      {"max_len_b", member(&O::max_len_b)},
      {"lenpen", member(&O::lenpen)},
      {"normalize_scores", member(&O::normalize_scores)},
      {"unk_penalty", member(&O::unk_penalty)},
      {"temperature", member(&O::temperature)},
      {"strategy", choice(&O::strategy, {{"beam", Strategy::kBeam},
                                         {"diverse_beam", Strategy::kDiverseBeam},
                                         {"diverse_siblings", Strategy::kDiverseSiblings},
                                         {"length_constrained", Strategy::kLengthConstrained},
                                         {"sampling", Strategy::kSampling},
                                         {"constrained_ordered", Strategy::kConstrainedOrdered},
                                         {"constrained_unordered", Strategy::kConstrainedUnordered},
                                         {"prefix_constrained", Strategy::kPrefixConstrained}})},
      {"diverse_groups", member(&O::diverse_groups)},
      {"diverse_strength", member(&O::diverse_strength)},
      {"diverse_cumulative", member(&O::diverse_cumulative)},
      {"diversity_rate", member(&O::diversity_rate)},
      {"source_length_counts_eos", member(&O::source_length_counts_eos)},
      {"sampling_topk", member(&O::sampling_topk)},
      {"sampling_topp", member(&O::sampling_topp)},
      {"no_repeat_ngram_size", member(&O::no_repeat_ngram_size)},
      {"patience", member(&O::patience)},
      {"coverage_penalty", member(&O::coverage_penalty)},
      {"repetition_penalty", member(&O::repetition_penalty)},
      {"suppressed_sequences", member(&O::suppressed_sequences)},
      {"early_stopping", member(&O::early_stopping)},
      {"heuristic_stopping", member(&O::heuristic_stopping)},
  };
  return from_arguments(arguments, setters);
}

}  // namespace elbeam::python
