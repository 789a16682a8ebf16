// fairseq/tasks/language_modeling.py, as generation sees it.
#pragma once

#include "fairseq_bridge/task.hpp"

#include <memory>
#include <string>

namespace elbeam::fairseq {

struct LanguageModelDictionary {
  std::string path;  // dict.txt of the data; empty: the model brought it
  text::Dictionary dictionary;
};

// dict.txt of the first folder of `data`; where there is none, the dictionary in the model's file
// (an elbeam archive, a GPT-2 folder). Logs its size. Throws Error(kIo) where neither is there.
LanguageModelDictionary load_language_model_dictionary(const std::string& data,
                                                       const std::string& model_path);

// The line is a prefix that the model has to go on from: all of it, or its first --prefix-size
// tokens.
std::unique_ptr<Task> make_language_model_task(const TaskOptions& options);

}  // namespace elbeam::fairseq
