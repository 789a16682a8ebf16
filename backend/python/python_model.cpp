#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "python/bindings.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace elbeam::python {
namespace {

namespace py = pybind11;

// Runs `body` with the GIL; an exception of Python becomes Error(kModel) with its text.
template <typename Body>
auto with_gil(const char* what, Body body) {
  const py::gil_scoped_acquire gil;
  try {
    return body();
  } catch (py::error_already_set& error) {
    if (error.matches(PyExc_KeyboardInterrupt)) fail(ErrorCode::kInterrupted, "interrupted");
    fail(ErrorCode::kModel, "the Python model's ", what, " raised ", error.what());
  } catch (const py::cast_error&) {
    fail(ErrorCode::kModel, "the Python model's ", what, " returned a value of another type");
  }
}

// References to Python objects may only be dropped with the GIL held.
class GilObject {
 public:
  explicit GilObject(py::object object) : object_(std::move(object)) {}
  ~GilObject() {
    const py::gil_scoped_acquire gil;
    object_ = py::object();
  }
  GilObject(const GilObject&) = delete;
  GilObject& operator=(const GilObject&) = delete;
  const py::object& get() const noexcept { return object_; }

 private:
  py::object object_;
};

// Copies a [rows, width] matrix of float32 or float64 that supports the buffer protocol, any
// strides.
void copy_matrix(const py::handle& source, std::int64_t rows, std::span<float> target) {
  ELBEAM_CHECK(py::isinstance<py::buffer>(source), ErrorCode::kModel,
               "the Python model's step() must return an object with the buffer protocol, got ",
               std::string(py::str(py::type::of(source).attr("__name__"))));
  const py::buffer_info info = py::reinterpret_borrow<py::buffer>(source).request();
  const std::int64_t width = ssize(target.size()) / rows;
  ELBEAM_CHECK(info.ndim == 2 && info.shape[0] == rows && info.shape[1] == width, ErrorCode::kModel,
               "the Python model's step() must return log-probabilities of shape [", rows, ", ",
               width, "]");
  const bool single = info.format == py::format_descriptor<float>::format();
  ELBEAM_CHECK(single || info.format == py::format_descriptor<double>::format(), ErrorCode::kModel,
               "the Python model's step() must return float32 or float64, got format ",
               info.format);
  const auto* bytes = static_cast<const std::byte*>(info.ptr);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < width; ++column) {
      const std::byte* at = bytes + row * info.strides[0] + column * info.strides[1];
      float& value = target[usize(row * width + column)];
      if (single) {
        std::memcpy(&value, at, sizeof(float));
      } else {
        double wide = 0.0;
        std::memcpy(&wide, at, sizeof(double));
        value = static_cast<float>(wide);
      }
    }
  }
}

std::vector<std::int64_t> to_vector(std::span<const std::int64_t> values) {
  return {values.begin(), values.end()};
}

class PythonState : public DecodeState {
 public:
  explicit PythonState(py::object state) : state_(std::move(state)) {}

  void step(const StepInput& input, const StepOutput& output) override {
    with_gil("step()", [&] {
      const auto rows = ssize(input.tokens.size());
      py::object result =
          state_.get().attr("step")(to_vector(input.tokens), to_vector(input.parents));
      if (output.attention.empty()) return copy_matrix(result, rows, output.log_probs);
      ELBEAM_CHECK(py::isinstance<py::tuple>(result) && py::len(result) == 2, ErrorCode::kModel,
                   "the Python model's step() must return (log_probs, attention) in this search");
      const auto pair = result.cast<py::tuple>();
      copy_matrix(pair[0], rows, output.log_probs);
      copy_matrix(pair[1], rows, output.attention);
    });
  }

 private:
  GilObject state_;
};

class PythonModel : public StepModel {
 public:
  explicit PythonModel(py::object model)
      : vocab_size_(model.attr("vocab_size").cast<std::int64_t>()),
        max_decoder_positions_(model.attr("max_decoder_positions").cast<std::int64_t>()),
        max_source_positions_(model.attr("max_source_positions").cast<std::int64_t>()),
        has_encoder_(model.attr("has_encoder").cast<bool>()),
        model_(std::move(model)) {
    ELBEAM_CHECK(vocab_size_ > 0 && max_decoder_positions_ > 0 && max_source_positions_ > 0,
                 ErrorCode::kUsage,
                 "vocab_size, max_decoder_positions and max_source_positions must be positive");
  }

  std::int64_t vocab_size() const override { return vocab_size_; }
  std::int64_t max_decoder_positions() const override { return max_decoder_positions_; }
  std::int64_t max_source_positions() const override { return max_source_positions_; }
  bool has_encoder() const override { return has_encoder_; }

  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    return with_gil("start()", [&] {
      py::dict arguments;
      arguments["beam"] = shape.beam;
      arguments["max_steps"] = shape.max_steps;
      arguments["temperature"] = shape.temperature;
      arguments["attention"] = shape.attention;
      py::object state = model_.get().attr("start")(batch.sentences, **arguments);
      return std::make_unique<PythonState>(std::move(state));
    });
  }

 private:
  std::int64_t vocab_size_;
  std::int64_t max_decoder_positions_;
  std::int64_t max_source_positions_;
  bool has_encoder_;
  GilObject model_;
};

}  // namespace

std::shared_ptr<StepModel> python_model(py::object model) {
  return std::make_shared<PythonModel>(std::move(model));
}

}  // namespace elbeam::python
