// What decides whether a CUDA device can be used: apart from CUDA itself, so that it is tested
// without one.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace elbeam::device {

struct CudaFacts {
  std::string name;
  int capability = 0;  // 10 * major + minor
  std::int64_t memory_bytes = 0;
  int shared_bytes = 0;  // that a block may ask for
  int multiprocessors = 0;
  std::int64_t cache_bytes = 0;  // of the second level
};

class CudaRuntime {
 public:
  virtual ~CudaRuntime() = default;
  // Versions as CUDA counts them, 13000 for 13.0; the driver's is 0 where there is none.
  virtual int driver_version() = 0;
  virtual int toolkit_version() = 0;
  virtual int device_count() = 0;
  virtual CudaFacts facts(int number) = 0;
};

// The facts of device `number`, which can run code that was compiled for `capabilities` (ascending;
// code for the last one is kept in a form that later devices translate). Throws Error(kDevice)
// saying what is there and what is needed: no driver, one older than the toolkit's major version,
// no device of that number, a device older than the code.
CudaFacts choose_cuda_device(CudaRuntime& runtime, int number, std::span<const int> capabilities);

}  // namespace elbeam::device
