// fairseq/tasks/language_modeling.py, as generation sees it.
#pragma once

#include "fairseq_bridge/task.hpp"

#include <memory>

namespace elbeam::fairseq {

// The line is a prefix that the model has to go on from: all of it, or its first --prefix-size
// tokens.
std::unique_ptr<Task> make_language_model_task(const TaskOptions& options);

}  // namespace elbeam::fairseq
