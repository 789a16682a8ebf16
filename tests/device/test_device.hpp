// The device that the kernels are tested on: the emulated machine, or what the environment variable
// ELBEAM_TEST_DEVICE names, "cuda" or "cuda:N" in a build for CUDA. There memory is managed, so
// that the tests read and write it as their own; data() and host() of DeviceArray wait for the
// device.
#pragma once

#include "kernels/device_kernels.hpp"

#include <cstdint>

namespace elbeam::kernels::under_test {

void* allocate(std::int64_t bytes);  // filled with 0xff bytes
void release(void* memory) noexcept;
void finish();  // waits for the kernels
// emulated::set_schedule(); a real device chooses for itself.
void set_schedule(int schedule);

// Whether it runs DeviceKernels::warpgroup, of sm_90.
bool has_warpgroups();

template <typename T>
const DeviceKernels<T>& kernels();
const SearchKernels& search_kernels();

}  // namespace elbeam::kernels::under_test
