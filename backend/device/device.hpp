// A device that decodes: its memory, its products and its kernels. All work is in the order of the
// calls (one stream); calls return before it is done, except where they say so.
#pragma once

#include "base/checked_math.hpp"
#include "kernels/device_kernels.hpp"
#include "kernels/launch_plan.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace elbeam::device {

struct Properties {
  std::string name;
  int capability = 0;  // 10 * major + minor; 0 of the emulated device
  std::int64_t memory_bytes = 0;
  kernels::DeviceLimits limits;
};

// C = A B^T + bias, with B [n, k] as torch stores weights, or C = A B with B [k, n]; row-major with
// row strides ld*. `batch` such products lie *_step elements apart.
template <typename T>
struct Product {
  std::int64_t m = 0, n = 0, k = 0;
  const T* a = nullptr;
  std::int64_t lda = 0;
  const T* b = nullptr;
  std::int64_t ldb = 0;
  bool transposed = true;  // B is [n, k]
  T* c = nullptr;
  std::int64_t ldc = 0;
  const T* bias = nullptr;  // [n] or nullptr
  std::int64_t batch = 1;
  std::int64_t a_step = 0, b_step = 0, c_step = 0;
};

// A part of a device's memory.
struct Piece {
  const void* from = nullptr;
  std::int64_t bytes = 0;
};

// Work that was captured once and is launched again and again, with the same arguments.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void launch() = 0;
};

// Thread-safe, except that work which is captured by a thread must not be disturbed by others on
// the same device; the methods throw Error(kDevice) when the device fails, and kOutOfMemory.
class Device {
 public:
  virtual ~Device() = default;

  virtual const Properties& properties() const = 0;
  virtual std::int64_t free_bytes() const = 0;

  virtual void* allocate(std::int64_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;
  // `from` may change when it returns.
  virtual void upload(void* to, const void* from, std::int64_t bytes) = 0;
  // Returns when everything that was asked for before is done.
  virtual void download(void* to, const void* from, std::int64_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::int64_t bytes) = 0;  // within the device
  virtual void clear(void* memory, std::int64_t bytes) = 0;

  // A download that the work does not wait for: returns a ticket at once; poll(ticket) waits for it
  // and returns the pieces one after another. The last kTickets are kept, and the one before them
  // has been polled.
  static constexpr int kTickets = 8;
  virtual std::int64_t post(std::span<const Piece> pieces) = 0;
  virtual const std::byte* poll(std::int64_t ticket) = 0;

  virtual std::unique_ptr<Graph> capture(const std::function<void()>& work) = 0;

  virtual void multiply(const Product<float>& product) = 0;
  virtual void multiply(const Product<kernels::Half>& product) = 0;
  virtual const kernels::DeviceKernels<float>& kernels(float) const = 0;
  virtual const kernels::DeviceKernels<kernels::Half>& kernels(kernels::Half) const = 0;
  virtual const kernels::SearchKernels& search_kernels() const = 0;
  virtual void* stream() const = 0;
};

// Memory of a device. Move-only.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device& device, std::int64_t count)
      : memory_(static_cast<T*>(
                    device.allocate(checked_mul(count, static_cast<std::int64_t>(sizeof(T))))),
                Release{&device}),
        count_(count) {}
  Buffer(Device& device, std::span<const T> host) : Buffer(device, ssize(host.size())) {
    set(host);
  }

  T* data() const noexcept { return memory_.get(); }
  std::int64_t size() const noexcept { return count_; }
  std::int64_t bytes() const noexcept { return count_ * static_cast<std::int64_t>(sizeof(T)); }
  void set(std::span<const T> host) {
    if (!host.empty())
      memory_.get_deleter().device->upload(
          data(), host.data(), ssize(host.size()) * static_cast<std::int64_t>(sizeof(T)));
  }
  std::vector<T> get() const {
    std::vector<T> host(usize(count_));
    if (count_ > 0) memory_.get_deleter().device->download(host.data(), data(), bytes());
    return host;
  }

 private:
  struct Release {
    Device* device = nullptr;
    void operator()(T* memory) const noexcept { device->release(memory); }
  };
  std::unique_ptr<T, Release> memory_;
  std::int64_t count_ = 0;
};

// "cpu" is no device; "cuda", "cuda:N", "cuda-emulated" and "cuda-emulated:90", with the kernels of
// sm_90 (":80" is the same as without), are. Throws Error: kUsage for another word, kDevice for a
// device that is not there or that this build cannot use.
std::shared_ptr<Device> open_device(const std::string& name);
// Whether `name` is the name of a device, present or not.
bool is_device_name(const std::string& name);
// The devices of a list: "cuda:0,2" is cuda:0 and cuda:2. Throws Error(kUsage) for what is no list
// of devices, and for one that is named twice.
std::vector<std::string> device_names(const std::string& list);

// What this build can decode on besides the CPU, in words.
std::string supported_devices();

}  // namespace elbeam::device
