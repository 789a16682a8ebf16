// What code that is compiled with -fsanitize=thread calls, instead of ThreadSanitizer.
#include "device/trace/tracer.hpp"

#include <cstring>

using elbeam::kernels::emulated::Tracer;

// The names are the compiler's.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
void __tsan_init();
void __tsan_func_entry(void* caller);
void __tsan_func_exit();
void __tsan_vptr_update(void** place, void* value);
void __tsan_vptr_read(void** place);
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define ELBEAM_TRACE(name, bytes, writes)                                           \
  void __tsan_##name(void* address);                                                \
  void __tsan_##name(void* address) {                                               \
    Tracer::instance().access(address, bytes, writes, __builtin_return_address(0)); \
  }
#define ELBEAM_TRACE_SIZE(bytes)                    \
  ELBEAM_TRACE(read##bytes, bytes, false)           \
  ELBEAM_TRACE(write##bytes, bytes, true)           \
  ELBEAM_TRACE(unaligned_read##bytes, bytes, false) \
  ELBEAM_TRACE(unaligned_write##bytes, bytes, true)
ELBEAM_TRACE_SIZE(1)
ELBEAM_TRACE_SIZE(2)
ELBEAM_TRACE_SIZE(4)
ELBEAM_TRACE_SIZE(8)
ELBEAM_TRACE_SIZE(16)

void __tsan_read_range(void* address, std::size_t bytes);
void __tsan_read_range(void* address, std::size_t bytes) {
  Tracer::instance().access(address, bytes, false, __builtin_return_address(0));
}
void __tsan_write_range(void* address, std::size_t bytes);
void __tsan_write_range(void* address, std::size_t bytes) {
  Tracer::instance().access(address, bytes, true, __builtin_return_address(0));
}
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes);
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
  Tracer::instance().access(from, bytes, false, __builtin_return_address(0));
  Tracer::instance().access(to, bytes, true, __builtin_return_address(0));
  return std::memcpy(to, from, bytes);
}
void* __tsan_memset(void* to, int value, std::size_t bytes);
void* __tsan_memset(void* to, int value, std::size_t bytes) {
  Tracer::instance().access(to, bytes, true, __builtin_return_address(0));
  return std::memset(to, value, bytes);
}
}
// NOLINTEND(bugprone-reserved-identifier)
