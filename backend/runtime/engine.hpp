// From LoadOptions to a model that can decode, with what the facade says about it.
#pragma once

#include <elbeam/generator.hpp>

#include "model/transformer.hpp"
#include "text/dictionary.hpp"

#include <memory>
#include <optional>

namespace elbeam::runtime {

struct LoadedModel {
  std::shared_ptr<StepModel> model;
  model::Transformer* native = nullptr;  // the same object, where the native engine runs it
  std::optional<text::Dictionary>
      source;  // absent: neither a path was given nor does the file have one
  std::optional<text::Dictionary> target;
  ModelInfo info;
};

// Throws Error as Generator's constructor says.
LoadedModel load_model(const LoadOptions& options);

}  // namespace elbeam::runtime
