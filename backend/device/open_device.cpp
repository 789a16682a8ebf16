#include "base/check.hpp"
#include "device/device.hpp"
#if defined(ELBEAM_WITH_CUDA)
#include "device/cuda_device.hpp"
#endif
#if defined(ELBEAM_EMULATED_DEVICE)
#include "device/emulated_device.hpp"
#endif

namespace elbeam::device {
namespace {

// The number of "cuda:N", 0 of "cuda"; -1 of another word.
int cuda_number(const std::string& name) {
  if (name == "cuda") return 0;
  if (!name.starts_with("cuda:") || name.size() < 6 || name.size() > 8) return -1;
  int number = 0;
  for (const char c : name.substr(5)) {
    if (c < '0' || c > '9') return -1;
    number = 10 * number + (c - '0');
  }
  return number;
}

bool is_emulated(const std::string& name) {
  return name == "cuda-emulated" || name == "cuda-emulated:90";
}

}  // namespace

bool is_device_name(const std::string& name) { return is_emulated(name) || cuda_number(name) >= 0; }

std::shared_ptr<Device> open_device(const std::string& name) {
  ELBEAM_CHECK(is_device_name(name), ErrorCode::kUsage,
               "argument --device: invalid value: ", quoted(name),
               " (expected cpu, cuda, cuda:N or cuda-emulated[:90])");
#if defined(ELBEAM_EMULATED_DEVICE)
  if (is_emulated(name)) return make_emulated_device(name == "cuda-emulated" ? 80 : 90);
#endif
#if defined(ELBEAM_WITH_CUDA)
  if (!is_emulated(name)) return make_cuda_device(cuda_number(name));
#endif
  fail(ErrorCode::kDevice, "--device ", name,
       ": this build has no support for it; use --device cpu (devices: ", supported_devices(), ")");
}

std::string supported_devices() {
#if defined(ELBEAM_WITH_CUDA)
  std::string devices = cuda_build_text();
#else
  std::string devices = "no CUDA";
#endif
#if defined(ELBEAM_EMULATED_DEVICE)
  devices += ", cuda-emulated";
#endif
  return devices;
}

}  // namespace elbeam::device
