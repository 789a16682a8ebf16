// A device that fails when it is told to.
#pragma once

#include "base/check.hpp"
#include "device/emulated_device.hpp"
#include "device/forwarding_device.hpp"

namespace elbeam::device {

// The emulated device, with as much memory as wanted, which breaks after some steps.
class FrailDevice : public ForwardingDevice {
 public:
  FrailDevice() : ForwardingDevice(make_emulated_device(80)) {}

  std::int64_t memory = std::int64_t{1} << 40;
  int steps_left = 1 << 30;

  std::int64_t free_bytes() const override { return memory; }
  const std::byte* poll(std::int64_t ticket) override {
    ELBEAM_CHECK(steps_left-- > 0, ErrorCode::kDevice, "CUDA: a step: unspecified launch failure");
    return ForwardingDevice::poll(ticket);
  }
};

}  // namespace elbeam::device
