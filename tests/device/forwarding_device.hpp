// A device that passes everything on to another one: for tests that change one thing of it.
#pragma once

#include "device/device.hpp"

#include <functional>
#include <memory>
#include <span>
#include <utility>

namespace elbeam::device {

class ForwardingDevice : public Device {
 public:
  explicit ForwardingDevice(std::shared_ptr<Device> device) : device_(std::move(device)) {}

  const Properties& properties() const override { return device_->properties(); }
  std::int64_t free_bytes() const override { return device_->free_bytes(); }
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
  const std::byte* poll(std::int64_t ticket) override { return device_->poll(ticket); }
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
  std::shared_ptr<Device> device_;
};

}  // namespace elbeam::device
