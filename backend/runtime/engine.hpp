// From LoadOptions to a model that can decode, with what the facade says about it.
#pragma once

#include <elbeam/generator.hpp>

#include "device/device_model.hpp"
#include "model/transformer.hpp"
#include "text/dictionary.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace elbeam::runtime {

struct LoadedModel {
  std::shared_ptr<StepModel> model;
  // The models that the native engine runs, of those that `model` is made of.
  std::vector<model::Transformer*> native;
  // The model, where it is a single one on a device.
  device::DeviceModel* on_device = nullptr;
  std::optional<text::Dictionary>
      source;  // absent: neither a path was given nor does the file have one
  std::optional<text::Dictionary> target;
  ModelInfo info;
};

// The target dictionary that a model's file brings: that of an elbeam archive or of a GPT-2 folder.
// A fairseq checkpoint has none. Throws Error as Generator's constructor does for the file.
std::optional<text::Dictionary> own_dictionary(const std::string& model_path);

// Throws Error as Generator's constructor says.
LoadedModel load_model(const LoadOptions& options);

}  // namespace elbeam::runtime
