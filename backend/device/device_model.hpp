// The native engine on a device: fairseq's Transformers as StepModel, and plain beam search that
// stays on the device from the first step to the last.
#pragma once

#include "device/device.hpp"
#include "model/transformer.hpp"
#include "search/decode_loop.hpp"

#include <memory>

namespace elbeam::device {

// As a StepModel it serves every search: log-probabilities go to the host in each step. One batch
// at a time, by either way (device_pool.hpp sees to that).
class DeviceModel : public model::Transformer {
 public:
  virtual const Device& device() const = 0;
  // Whether decode() can take a request; others go through search::decode().
  virtual bool decodes(const search::DecodeRequest& request) const = 0;
  // What search::decode() returns, by a loop on the device. Throws as search::decode() does,
  // Error(kDevice), and Error(kOutOfMemory) for a batch that the device has no memory for, before
  // any of it is taken.
  virtual search::DecodeResult decode(const search::DecodeRequest& request) = 0;
};

// Copies the checkpoint's weights to the device, as fp16 with TransformerOptions::half. Throws as
// model::load_transformer() does; kUnsupported for parts that no device computes, naming them, and
// for DType::kFp64; kOutOfMemory with what is needed and what is there.
std::unique_ptr<DeviceModel> load_device_model(
    std::shared_ptr<const archive::Checkpoint> checkpoint, const model::TransformerOptions& options,
    std::shared_ptr<Device> device);

}  // namespace elbeam::device
