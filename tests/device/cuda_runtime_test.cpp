// Which CUDA devices are accepted, and what is said of the others: with a runtime that is made up.
#include "device/cuda_runtime.hpp"

#include "base/check.hpp"
#include "device/device.hpp"

#include <gtest/gtest.h>

namespace elbeam::device {
namespace {

class FakeRuntime : public CudaRuntime {
 public:
  int driver = 13000;
  int toolkit = 13000;
  int devices = 2;
  int capability = 80;

  int driver_version() override { return driver; }
  int toolkit_version() override { return toolkit; }
  int device_count() override { return devices; }
  CudaFacts facts(int number) override {
    return {concat("Fake ", number), capability, std::int64_t{1} << 30, 100 << 10, 4};
  }
};

constexpr int kCapabilities[] = {80, 90};

// The message of the Error(kDevice) that choosing device `number` throws.
std::string refusal(FakeRuntime runtime, int number) {
  try {
    choose_cuda_device(runtime, number, kCapabilities);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDevice);
    return error.what();
  }
  ADD_FAILURE() << "the device was accepted";
  return {};
}

void expect_says(const std::string& message, const std::string& part) {
  EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(CudaRuntime, AcceptsWhatRuns) {
  FakeRuntime runtime;
  EXPECT_EQ(choose_cuda_device(runtime, 1, kCapabilities).name, "Fake 1");
  runtime.capability = 120;  // newer than the code: it is translated
  EXPECT_EQ(choose_cuda_device(runtime, 0, kCapabilities).capability, 120);
  runtime.driver = 13010;
  EXPECT_NO_THROW(choose_cuda_device(runtime, 0, kCapabilities));
}

TEST(CudaRuntime, NamesWhatIsMissing) {
  FakeRuntime runtime;
  runtime.driver = 0;
  expect_says(refusal(runtime, 0), "no NVIDIA driver");
  runtime.driver = 12080;
  expect_says(refusal(runtime, 0), "the NVIDIA driver is for CUDA 12.8");
  expect_says(refusal(runtime, 0), "CUDA 13.0 or later");
  runtime = {};
  runtime.devices = 0;
  expect_says(refusal(runtime, 0), "sees no device");
  runtime.devices = 1;
  expect_says(refusal(runtime, 3), "cuda:3: there is 1 device");
  runtime.capability = 75;
  expect_says(refusal(runtime, 0), "Fake 0 has compute capability 7.5");
  expect_says(refusal(runtime, 0), "needs 8.0 or later");
}

TEST(DeviceName, OnlyKnownNames) {
  for (const char* name : {"cuda", "cuda:0", "cuda:12", "cuda-emulated", "cuda-emulated:90"})
    EXPECT_TRUE(is_device_name(name)) << name;
  for (const char* name : {"cpu", "", "cuda:", "cuda:-1", "cuda:1x", "cuda:1000", "gpu", "CUDA"})
    EXPECT_FALSE(is_device_name(name)) << name;
  EXPECT_THROW(open_device("gpu"), Error);
}

TEST(DeviceName, ListsOfDevices) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(device_names("cuda"), Names{"cuda"});
  EXPECT_EQ(device_names("cuda:3"), Names{"cuda:3"});
  EXPECT_EQ(device_names("cuda:0,2,11"), (Names{"cuda:0", "cuda:2", "cuda:11"}));
  for (const char* list : {"cpu", "cuda,cuda", "cuda:", "cuda:,1", "cuda:0,", "cuda:0,,1",
                           "cuda:0,x", "cuda:1,0,1", "cuda:0,cuda:1", ","}) {
    EXPECT_THROW(device_names(list), Error) << list;
  }
}

}  // namespace
}  // namespace elbeam::device
