#include "device/cuda_runtime.hpp"

#include "base/check.hpp"

namespace elbeam::device {
namespace {

std::string version_text(int version) { return concat(version / 1000, ".", version % 1000 / 10); }

std::string capability_text(int capability) {
  return concat(capability / 10, ".", capability % 10);
}

}  // namespace

CudaFacts choose_cuda_device(CudaRuntime& runtime, int number, std::span<const int> capabilities) {
  const int driver = runtime.driver_version();
  const int toolkit = runtime.toolkit_version();
  ELBEAM_CHECK(driver != 0, ErrorCode::kDevice, "--device cuda:", number,
               ": there is no NVIDIA driver on this machine; use --device cpu");
  // Within a major version, code runs with older drivers too (CUDA's minor version compatibility).
  ELBEAM_CHECK(driver / 1000 >= toolkit / 1000, ErrorCode::kDevice, "--device cuda:", number,
               ": the NVIDIA driver is for CUDA ", version_text(driver),
               ", and this build needs one for CUDA ", toolkit / 1000, ".0 or later");
  const int count = runtime.device_count();
  ELBEAM_CHECK(count > 0, ErrorCode::kDevice, "--device cuda:", number,
               ": the NVIDIA driver sees no device (is CUDA_VISIBLE_DEVICES empty?)");
  ELBEAM_CHECK(number < count, ErrorCode::kDevice, "--device cuda:", number, ": there ",
               count == 1 ? "is 1 device" : concat("are ", count, " devices"), ", numbered from 0");
  CudaFacts facts = runtime.facts(number);
  ELBEAM_CHECK(facts.capability >= capabilities.front(), ErrorCode::kDevice,
               "--device cuda:", number, ": ", facts.name, " has compute capability ",
               capability_text(facts.capability), ", and this build needs ",
               capability_text(capabilities.front()), " or later");
  return facts;
}

}  // namespace elbeam::device
