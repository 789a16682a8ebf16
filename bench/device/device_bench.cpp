// Measures what a device achieves and prints it as JSON; run by python3 -m bench.gpu_check.
//
//   elbeam-device-bench DEVICE limits
//   elbeam-device-bench DEVICE copied|shared|el fp16|fp32 SENTENCES BEAM SOURCE HEADS DIM LAYERS
//
// The first says what the device is, and how fast it copies and multiplies: what the others are
// measured against. Exit codes are elbeam's: 4 where there is no such device, or too little memory.
#include "base/check.hpp"
#include "bench/device/cross_step.hpp"

#include <nlohmann/json.hpp>

#include <charconv>
#include <chrono>
#include <cstring>
#include <functional>
#include <iostream>

namespace elbeam::bench {
namespace {

using device::Buffer;
using device::Device;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void wait(Device& device, const Buffer<float>& anything) {
  float value = 0.0F;
  device.download(&value, anything.data(), sizeof value);
}

// Seconds of one `work`, the least of three rounds of as many as fill about 0.1 s, launched one
// after another without waiting; the first call of all is not counted.
double measure(Device& device, const std::function<void()>& work) {
  const Buffer<float> anything(device, 1);
  device.clear(anything.data(), anything.bytes());
  work();
  wait(device, anything);
  const auto once = std::chrono::steady_clock::now();
  work();
  wait(device, anything);
  const int repeats = std::clamp(static_cast<int>(0.1 / seconds_since(once)), 1, 1000);
  double best = 1e30;
  for (int round = 0; round < 3; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats; ++i) work();
    wait(device, anything);
    best = std::min(best, seconds_since(begin) / repeats);
  }
  return best;
}

template <typename T>
double multiply_tflops(Device& device, std::int64_t size) {
  Buffer<T> a(device, size * size), b(device, size * size), c(device, size * size);
  fill(device, a, 1.0F);
  fill(device, b, 1.0F);
  device::Product<T> product{size, size, size, a.data(), size, b.data(), size};
  product.c = c.data();
  product.ldc = size;
  const double seconds = measure(device, [&] { device.multiply(product); });
  return 2e-12 * static_cast<double>(size * size * size) / seconds;
}

nlohmann::json limits(Device& device) {
  const device::Properties& facts = device.properties();
  const bool emulated = facts.capability == 0;
  const std::int64_t bytes = emulated ? 1 << 20 : std::int64_t{1} << 30;
  Buffer<unsigned char> from(device, bytes), to(device, bytes);
  device.clear(from.data(), bytes);
  const double seconds = measure(device, [&] { device.copy(to.data(), from.data(), bytes); });
  const std::int64_t size = emulated ? 64 : 8192;
  return {{"name", facts.name},
          {"capability", facts.capability},
          {"multiprocessors", facts.limits.multiprocessors},
          {"memory bytes", facts.memory_bytes},
          {"free bytes", device.free_bytes()},
          {"copy GB/s", 2e-9 * static_cast<double>(bytes) / seconds},
          {"fp16 TFLOP/s", multiply_tflops<kernels::Half>(device, size)},
          {"fp32 TFLOP/s", multiply_tflops<float>(device, size)}};
}

int number(const char* text) {
  int value = 0;
  const char* end = text + std::strlen(text);
  const auto [rest, status] = std::from_chars(text, end, value);
  ELBEAM_CHECK(status == std::errc{} && rest == end && value > 0 && value <= 1 << 20,
               ErrorCode::kUsage, "a number from 1 to 1048576 is expected, got ", quoted(text));
  return value;
}

nlohmann::json step(Device& device, CrossStep& cross, bool el) {
  const double attention = measure(device, [&] { cross.attention(); });
  nlohmann::json result = {{"attention ms", 1e3 * attention},
                           {"bytes", cross.bytes()},
                           {"flops", cross.flops()},
                           {"GB/s", 1e-9 * cross.bytes() / attention},
                           {"TFLOP/s", 1e-12 * cross.flops() / attention}};
  result["projections ms"] = el ? 1e3 * measure(device, [&] { cross.projections(); }) : 0.0;
  return result;
}

int run(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  ELBEAM_CHECK(words.size() == 2 || words.size() == 9, ErrorCode::kUsage,
               "usage: elbeam-device-bench DEVICE limits, or DEVICE copied|shared|el fp16|fp32 "
               "SENTENCES BEAM SOURCE HEADS DIM LAYERS");
  const std::shared_ptr<Device> device = device::open_device(words[0]);
  if (words.size() == 2) {
    ELBEAM_CHECK(words[1] == "limits", ErrorCode::kUsage, "expected limits, got ",
                 quoted(words[1]));
    std::cout << limits(*device) << '\n';
    return 0;
  }
  ELBEAM_CHECK(words[1] == "copied" || words[1] == "shared" || words[1] == "el", ErrorCode::kUsage,
               "expected copied, shared or el, got ", quoted(words[1]));
  ELBEAM_CHECK(words[2] == "fp16" || words[2] == "fp32", ErrorCode::kUsage,
               "expected fp16 or fp32, got ", quoted(words[2]));
  const StepShape shape{number(argv[4]), number(argv[5]), number(argv[6]),
                        number(argv[7]), number(argv[8]), number(argv[9])};
  ELBEAM_CHECK(shape.dim % shape.heads == 0, ErrorCode::kUsage, shape.dim,
               " columns are not divided evenly among ", shape.heads, " heads");
  const CrossKind kind = words[1] == "el"       ? CrossKind::kEl
                         : words[1] == "copied" ? CrossKind::kCopied
                                                : CrossKind::kShared;
  const auto cross = words[2] == "fp16" ? make_cross_step<kernels::Half>(*device, shape, kind)
                                        : make_cross_step<float>(*device, shape, kind);
  std::cout << step(*device, *cross, kind == CrossKind::kEl) << '\n';
  return 0;
}

}  // namespace
}  // namespace elbeam::bench

int main(int argc, char** argv) {
  try {
    return elbeam::bench::run(argc, argv);
  } catch (const elbeam::Error& error) {
    std::cerr << "elbeam-device-bench: error: " << error.what() << '\n';
    return elbeam::exit_code(error.code());
  } catch (const std::exception& error) {
    std::cerr << "elbeam-device-bench: error: " << error.what() << '\n';
    return elbeam::exit_code(elbeam::ErrorCode::kInternal);
  }
}
