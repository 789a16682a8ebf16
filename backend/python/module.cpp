// The module elbeam._elbeam: the C++ facade, one to one. backend/python/elbeam/__init__.py is what
// users import.
#include <elbeam/generator.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "python/bindings.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace elbeam::python {
namespace {

namespace py = pybind11;

using Tokens = std::vector<std::int64_t>;

struct BatchArguments {
  std::optional<std::int64_t> padded_length;
  std::vector<Tokens> prefix_tokens;
  std::vector<std::vector<Tokens>> constraints;
  std::optional<std::int64_t> start_token;
  bool attention = false;
};

template <typename Value>
Value take(py::dict& arguments, const char* name, Value fallback) {
  if (!arguments.contains(name)) return fallback;
  const py::object value = arguments.attr("pop")(name);
  try {
    return value.cast<Value>();
  } catch (const py::cast_error&) {
    fail(ErrorCode::kUsage, "option ", name, ": a value of type ",
         std::string(py::str(py::type::of(value).attr("__name__"))), " does not fit");
  }
}

// What belongs to the batch is taken out of the keyword arguments; the rest are search options.
GenerateRequest take_request(std::vector<Tokens> sentences, py::dict& arguments) {
  GenerateRequest request;
  request.prefix_tokens = take(arguments, "prefix_tokens", std::vector<Tokens>{});
  request.constraints = take(arguments, "constraints", std::vector<std::vector<Tokens>>{});
  request.start_token = take(arguments, "start_token", std::optional<std::int64_t>{});
  request.attention = take(arguments, "return_attention", false);
  std::int64_t longest = 0;
  for (const Tokens& sentence : sentences) longest = std::max(longest, ssize(sentence.size()));
  request.batch.padded_length = take(arguments, "padded_length", longest);
  request.batch.sentences = std::move(sentences);
  return request;
}

using Results = std::vector<std::vector<Hypothesis>>;

Results hypotheses_of(std::vector<SentenceResult> results) {
  Results all;
  for (SentenceResult& result : results) all.push_back(std::move(result.hypotheses));
  return all;
}

Results generate(const Generator& generator, std::vector<Tokens> sentences,
                 const py::kwargs& keywords) {
  py::dict arguments(keywords);
  const GenerateRequest request = take_request(std::move(sentences), arguments);
  const SearchOptions options = search_options(arguments);
  const py::gil_scoped_release release;
  return hypotheses_of(generator.generate(request, options));
}

Results translate(const Generator& generator, const std::vector<std::string>& lines,
                  const py::kwargs& keywords) {
  const SearchOptions options = search_options(keywords);
  const py::gil_scoped_release release;
  return hypotheses_of(generator.translate(lines, options));
}

py::dict model_info(const Generator& generator) {
  const ModelInfo& info = generator.model_info();
  py::dict result;
  result["architecture"] = info.architecture;
  result["source_format"] = info.source_format;
  result["bos"] = info.special.bos;
  result["pad"] = info.special.pad;
  result["eos"] = info.special.eos;
  result["unk"] = info.special.unk;
  result["source_vocab_size"] = info.source_vocab_size;
  result["target_vocab_size"] = info.target_vocab_size;
  result["max_source_positions"] = info.max_source_positions;
  result["max_target_positions"] = info.max_target_positions;
  result["parameters"] = info.parameters;
  result["pack_caches_read"] = info.pack_caches_read;
  result["pack_caches_written"] = info.pack_caches_written;
  result["warnings"] = py::cast(info.warnings);
  return result;
}

py::dict statistics(const Generator& generator) {
  const Statistics counters = generator.statistics();
  py::dict result;
  result["sentences"] = counters.sentences;
  result["source_tokens"] = counters.source_tokens;
  result["generated_tokens"] = counters.generated_tokens;
  result["steps"] = counters.steps;
  result["decoder_rows"] = counters.decoder_rows;
  result["encode_seconds"] = counters.encode_seconds;
  result["decode_seconds"] = counters.decode_seconds;
  result["engine"] = counters.engine;
  result["isa"] = counters.isa;
  result["cross_attention"] = counters.cross_attention;
  result["self_attention"] = counters.self_attention;
  result["cross_cache_bytes"] = counters.cross_cache_bytes;
  result["self_cache_bytes"] = counters.self_cache_bytes;
  return result;
}

std::unique_ptr<Generator> load(const py::kwargs& keywords) {
  const LoadOptions options = load_options(keywords);
  const py::gil_scoped_release release;
  return std::make_unique<Generator>(options);
}

std::unique_ptr<Generator> from_model(py::object model, const SpecialTokens& special) {
  return std::make_unique<Generator>(python_model(std::move(model)), special);
}

// elbeam.Error carries the stable name of its code in `code`.
void register_error(py::module_& module) {
  static py::exception<Error> type(module, "Error", PyExc_RuntimeError);
  py::register_exception_translator([](std::exception_ptr pending) {
    try {
      if (pending) std::rethrow_exception(pending);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kInterrupted) {
        PyErr_SetNone(PyExc_KeyboardInterrupt);
        return;
      }
      py::object instance = py::handle(type)(error.what());
      instance.attr("code") = error_code_name(error.code());
      PyErr_SetObject(type.ptr(), instance.ptr());
    }
  });
}

void register_types(py::module_& module) {
  py::class_<SpecialTokens>(module, "SpecialTokens", "Ids of the special symbols.")
      .def(py::init([](std::int64_t bos, std::int64_t pad, std::int64_t eos, std::int64_t unk) {
             return SpecialTokens{bos, pad, eos, unk};
           }),
           py::arg("bos") = 0, py::arg("pad") = 1, py::arg("eos") = 2, py::arg("unk") = 3);
  py::class_<Hypothesis>(module, "Hypothesis", "One output; scores are base e.")
      .def_readonly("tokens", &Hypothesis::tokens)
      .def_readonly("score", &Hypothesis::score)
      .def_readonly("positional_scores", &Hypothesis::positional_scores)
      .def_readonly("text", &Hypothesis::text)
      .def_readonly("attention", &Hypothesis::attention)
      .def("__repr__", [](const Hypothesis& one) {
        return concat("Hypothesis(score=", one.score, ", tokens=", one.tokens.size(), ")");
      });
  py::class_<Generator>(module, "Generator")
      .def(py::init(&load))
      .def_static("_from_model", &from_model)
      .def("generate", &generate)
      .def("translate", &translate)
      .def("encode_source", &Generator::encode_source)
      .def("decode_target", &Generator::decode_target)
      .def_property_readonly("model_info", &model_info)
      .def_property_readonly("statistics", &statistics);
}

}  // namespace

PYBIND11_MODULE(_elbeam, module) {
  module.doc() = "C++ part of elbeam";
  module.attr("__version__") = version();
  register_error(module);
  register_types(module);
  register_evaluation(module);
}

}  // namespace elbeam::python
