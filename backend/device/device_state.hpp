// A batch's incremental state on a device for searches that run on the host.
#pragma once

#include <elbeam/step_model.hpp>

#include "device/decode_run.hpp"

#include <functional>
#include <vector>

namespace elbeam::device {

template <typename T>
class DeviceState : public DecodeState {
 public:
  // finished is called with the run when the state goes.
  DeviceState(Device& device, const StackWeights<T>& decoder, DecodeRun<T> run, double temperature,
              std::function<void(const DecodeRun<T>&)> finished);
  ~DeviceState() override;
  DeviceState(const DeviceState&) = delete;
  DeviceState& operator=(const DeviceState&) = delete;

  void step(const StepInput& input, const StepOutput& output) override;
  bool force(const ForcedInput& input, const ForcedOutput& output) override;

 private:
  // Which rows each sentence has now; returns how many all of them have, or 1.
  std::int64_t follow_parents(std::span<const std::int64_t> parents);

  Device& device_;
  const StackWeights<T>& decoder_;
  DecodeRun<T> run_;
  float temperature_;
  std::function<void(const DecodeRun<T>&)> finished_;
  Buffer<float> log_probs_;
  std::int64_t steps_ = 0;   // behind what was forced
  std::int64_t forced_ = 0;  // tokens, of the longest sentence
  bool closed_ = false;      // known tokens of several lengths were read: no step may follow
  std::vector<std::int64_t> sentence_of_row_;
  std::vector<kernels::RowRange> rows_of_;
};

}  // namespace elbeam::device
