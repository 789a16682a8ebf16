// A device that fails when it is told to.
#pragma once

#include "base/check.hpp"
#include "device/emulated_device.hpp"

#include <functional>
#include <memory>
#include <span>

namespace elbeam::device {

// The emulated device, with as much memory as wanted, which breaks after some steps.
class FrailDevice : public Device {
 public:
  std::int64_t memory = std::int64_t{1} << 40;
  int steps_left = 1 << 30;

  const Properties& properties() const override { return device_->properties(); }
  std::int64_t free_bytes() const override { return memory; }
  void* allocate(std::int64_t bytes) override { return device_->allocate(bytes); }
  void release(void* at) noexcept override { device_->release(at); }
  void upload(void* to, const void* from, std::int64_t bytes) override {
    device_->upload(to, from, bytes);
  }
  void download(void* to, const void* from, std::int64_t bytes) override {
    device_->download(to, from, bytes);
  }
  void copy(void* to, const void* from, std::int64_t bytes) override {
    device_->copy(to, from, bytes);
  }
  void clear(void* at, std::int64_t bytes) override { device_->clear(at, bytes); }
  std::int64_t post(std::span<const Piece> pieces) override { return device_->post(pieces); }
  const std::byte* poll(std::int64_t ticket) override {
    ELBEAM_CHECK(steps_left-- > 0, ErrorCode::kDevice, "CUDA: a step: unspecified launch failure");
    return device_->poll(ticket);
  }
  std::unique_ptr<Graph> capture(const std::function<void()>& work) override {
    return device_->capture(work);
  }
  void multiply(const Product<float>& product) override { device_->multiply(product); }
  void multiply(const Product<kernels::Half>& product) override { device_->multiply(product); }
  const kernels::DeviceKernels<float>& kernels(float) const override {
    return device_->kernels(0.0F);
  }
  const kernels::DeviceKernels<kernels::Half>& kernels(kernels::Half) const override {
    return device_->kernels(kernels::Half{});
  }
  const kernels::SearchKernels& search_kernels() const override {
    return device_->search_kernels();
  }
  void* stream() const override { return device_->stream(); }

 private:
  std::shared_ptr<Device> device_ = make_emulated_device(80);
};

}  // namespace elbeam::device
