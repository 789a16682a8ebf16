// Finds and loads the TorchScript plug-in.
#pragma once

#include "torchscript/script_model.hpp"

#include <memory>

namespace elbeam::runtime {

// Searches next to the running library or program, then ../lib. Throws Error(kUnsupported) when the
// plug-in is not installed (a build with -DELBEAM_TORCH=OFF) or cannot be loaded, and what the
// plug-in throws. The plug-in stays loaded until the process ends.
std::unique_ptr<StepModel> load_script_engine(const torchscript::ScriptModelOptions& options);

}  // namespace elbeam::runtime
