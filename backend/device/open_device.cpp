#include "base/check.hpp"
#include "device/device.hpp"
#if defined(ELBEAM_WITH_CUDA)
#include "device/cuda_device.hpp"
#endif
#if defined(ELBEAM_EMULATED_DEVICE)
#include "device/emulated_device.hpp"
#endif

#include <set>

namespace elbeam::device {
namespace {

constexpr const char* kExpected =
    " (expected cpu, cuda, cuda:N or cuda-emulated[:90], with several numbers for several devices: "
    "cuda:0,1)";

// "cuda" of "cuda:3".
std::string kind_of(const std::string& name) { return name.substr(0, name.find(':')); }

// The number of "cuda:N", 0 of "cuda"; -1 of another word.
int number_of(const std::string& name) {
  const std::size_t colon = name.find(':');
  if (colon == std::string::npos) return 0;
  const std::string digits = name.substr(colon + 1);
  if (digits.empty() || digits.size() > 3) return -1;
  int number = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return -1;
    number = 10 * number + (c - '0');
  }
  return number;
}

// The emulated device has a compute capability for a number.
bool is_emulated(const std::string& name) {
  return name == "cuda-emulated" || name == "cuda-emulated:80" || name == "cuda-emulated:90";
}

}  // namespace

bool is_device_name(const std::string& name) {
  return is_emulated(name) || (kind_of(name) == "cuda" && number_of(name) >= 0);
}

std::vector<std::string> device_names(const std::string& list) {
  const std::size_t colon = list.find(':');
  std::vector<std::string> names;
  if (colon == std::string::npos) names.push_back(list);
  for (std::size_t begin = colon + 1; colon != std::string::npos;) {
    const std::size_t end = list.find(',', begin);
    names.push_back(concat(list.substr(0, colon), ":", list.substr(begin, end - begin)));
    if (end == std::string::npos) break;
    begin = end + 1;
  }
  std::set<int> numbers;
  for (const std::string& name : names) {
    ELBEAM_CHECK(is_device_name(name), ErrorCode::kUsage,
                 "argument --device: invalid value: ", quoted(list), kExpected);
    ELBEAM_CHECK(numbers.insert(number_of(name)).second, ErrorCode::kUsage,
                 "argument --device: ", quoted(list), " names device ", number_of(name), " twice");
  }
  return names;
}

std::shared_ptr<Device> open_device(const std::string& name) {
  ELBEAM_CHECK(is_device_name(name), ErrorCode::kUsage,
               "argument --device: invalid value: ", quoted(name), kExpected);
#if defined(ELBEAM_EMULATED_DEVICE)
  if (is_emulated(name)) return make_emulated_device(name == "cuda-emulated:90" ? 90 : 80);
#endif
#if defined(ELBEAM_WITH_CUDA)
  if (!is_emulated(name)) return make_cuda_device(number_of(name));
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
