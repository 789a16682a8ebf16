// From LoadOptions to a model that can decode, with what the facade says about it.
#pragma once

#include <elbeam/generator.hpp>

#include "model/transformer.hpp"
#include "text/dictionary.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace elbeam::runtime {

struct LoadedModel {
  std::shared_ptr<StepModel> model;
  // The models that the native engine runs, of those that `model` is made of.
  std::vector<model::Transformer*> native;
  std::optional<text::Dictionary>
      source;  // absent: neither a path was given nor does the file have one
  std::optional<text::Dictionary> target;
  ModelInfo info;
};

// Throws Error as Generator's constructor says.
LoadedModel load_model(const LoadOptions& options);

}  // namespace elbeam::runtime
