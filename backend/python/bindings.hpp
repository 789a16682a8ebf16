// The parts of the Python module; module.cpp puts them together.
#pragma once

#include <elbeam/options.hpp>
#include <elbeam/step_model.hpp>

#include <pybind11/pybind11.h>

#include <memory>

namespace elbeam::python {

// Options from Python's keyword arguments: the names are the members of the C++ structs, enums are
// given by name ("native", "el", "fp64"). Throws Error(kUsage) for a name that is none, naming
// those that are, and for a value of another type.
LoadOptions load_options(const pybind11::dict& arguments);
SearchOptions search_options(const pybind11::dict& arguments);

// A model written in Python (elbeam.StepModel) behind the C++ interface. Holds a reference to the
// object; calls it with the GIL held, from whichever thread decodes.
std::shared_ptr<StepModel> python_model(pybind11::object model);

// The functions behind elbeam.eval.
void register_evaluation(pybind11::module_& module);

}  // namespace elbeam::python
