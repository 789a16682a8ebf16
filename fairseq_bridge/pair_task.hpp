// The tasks over pairs of languages.
#pragma once

#include "fairseq_bridge/task.hpp"

#include <memory>

namespace elbeam::fairseq {

// fairseq/tasks/translation.py, with TaskOptions::bart_hub the convention of
// fairseq/models/bart/hub_interface.py: the source begins with bos, and so does the forced output.
std::unique_ptr<Task> make_translation_task(const TaskOptions& options);

}  // namespace elbeam::fairseq
