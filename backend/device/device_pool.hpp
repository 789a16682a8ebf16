// The same model on several devices, as one.
#pragma once

#include "device/device_model.hpp"

#include <memory>
#include <vector>

namespace elbeam::device {

// Thread-safe: each call of decode(), and each state of start() as long as it lives, has one of the
// models to itself; callers wait where all are taken. At least one model.
std::unique_ptr<DeviceModel> make_device_pool(std::vector<std::unique_ptr<DeviceModel>> models);

}  // namespace elbeam::device
