#include "device/trace/tracer.hpp"

#include "kernels/emulated/machine.hpp"

namespace elbeam::kernels::emulated {

Tracer& Tracer::instance() {
  static Tracer tracer;
  return tracer;
}

void Tracer::start() {
  machine.trace.begin_launch = [] { instance().begin_launch(); };
  machine.trace.begin_block = [] { instance().begin_block(); };
  machine.trace.end_block = [] { instance().end_block(); };
  machine.trace.copy_starts = [](void* to, const void* from, void* where) {
    instance().copy_starts(to, from, where);
  };
  machine.trace.copy_arrives = [](void* to, const void* from) {
    instance().copy_arrives(to, from);
  };
  machine.trace.bulk_starts = [](void* to, const void* from, void* where) {
    instance().bulk_starts(to, from, where);
  };
  machine.trace.bulk_arrives = [](void* to, const void*, int barrier, std::uint64_t phase) {
    instance().bulk_arrives(to, barrier, phase);
  };
  machine.trace.product_reads = [](const void* from, void* where) {
    instance().product_reads(from, where);
  };
}

void Tracer::stop() {
  machine.trace = {};
  in_block_ = false;
}

void Tracer::begin_launch() {
  last_bytes_ = 0;
  if (detect_races) races.begin_launch();
  if (measure_traffic) traffic.begin_launch(machine.shape.name);
}

void Tracer::begin_block() {
  in_block_ = true;
  if (detect_races) races.begin_block();
}

void Tracer::end_block() {
  in_block_ = false;
  if (measure_traffic) traffic.finish_block();
}

bool Tracer::locate(TracedAccess& access) {
  const auto shared = reinterpret_cast<std::uintptr_t>(machine.shared);
  const std::size_t shared_bytes =
      machine.shared_stride * static_cast<std::size_t>(machine.shape.cluster - 1) +
      static_cast<std::size_t>(machine.shape.shared_bytes);
  if (access.begin - shared < shared_bytes) {
    access.space = Space::kShared;
    access.array_begin = shared;
    access.array_bytes = shared_bytes;
    return true;
  }
  if (access.begin - last_begin_ >= last_bytes_) {
    const auto next = machine.memory.upper_bound(reinterpret_cast<const char*>(access.begin));
    if (next == machine.memory.begin()) return false;
    const auto& [begin, bytes] = *std::prev(next);
    const auto found = reinterpret_cast<std::uintptr_t>(begin);
    if (access.begin - found >= static_cast<std::size_t>(bytes)) return false;
    last_begin_ = found;
    last_bytes_ = static_cast<std::size_t>(bytes);
  }
  access.space = Space::kGlobal;
  access.array_begin = last_begin_;
  access.array_bytes = last_bytes_;
  return true;
}

void Tracer::access(const void* address, std::size_t bytes, bool writes, void* where) {
  if (!in_block_ || machine.current == nullptr) return;
  TracedAccess access;
  access.begin = reinterpret_cast<std::uintptr_t>(address);
  access.bytes = bytes;
  access.writes = writes;
  access.where = where;
  const auto stack = reinterpret_cast<std::uintptr_t>(&access);
  constexpr std::uintptr_t kNear = 64 << 10;
  if (access.begin - stack + kNear < 2 * kNear) return;  // of this thread's own frames
  if (!locate(access)) return;
  ++accesses;
  if (access.space == Space::kGlobal && guard_bytes > 0 &&
      (access.begin < access.array_begin + guard_bytes ||
       access.begin + bytes > access.array_begin + access.array_bytes - guard_bytes)) {
    races.beside_array(access);
  }
  if (detect_races) races.access(access);
  if (measure_traffic) traffic.access(access);
}

void Tracer::copy_starts(void* to, const void* from, void* where) {
  access(from, 16, false, where);
  TracedAccess target;
  target.begin = reinterpret_cast<std::uintptr_t>(to);
  target.bytes = 16;
  target.writes = true;
  target.where = static_cast<char*>(where) + 1;  // another place than the read's
  if (!locate(target)) return;
  if (detect_races) races.copy_starts(target);
  if (measure_traffic) traffic.access(target);
}

// The source may be read until now; the target has been written from now on.
void Tracer::copy_arrives(void* to, const void* from) {
  if (!detect_races) return;
  TracedAccess source;
  source.begin = reinterpret_cast<std::uintptr_t>(from);
  source.bytes = 16;
  if (locate(source)) races.access(source);
  TracedAccess target;
  target.begin = reinterpret_cast<std::uintptr_t>(to);
  target.bytes = 16;
  target.writes = true;
  if (locate(target)) races.copy_arrives(target);
}

TracedAccess Tracer::asynchronous(const void* address, bool writes, void* where) {
  TracedAccess access;
  access.begin = reinterpret_cast<std::uintptr_t>(address);
  access.bytes = 16;
  access.writes = writes;
  access.async = true;
  access.where = where;
  return access;
}

void Tracer::bulk_starts(void* to, const void* from, void* where) {
  if (from != nullptr) {
    TracedAccess source = asynchronous(from, false, where);
    if (locate(source)) {
      ++accesses;
      if (guard_bytes > 0 &&
          (source.begin < source.array_begin + guard_bytes ||
           source.begin + source.bytes > source.array_begin + source.array_bytes - guard_bytes))
        races.beside_array(source);
      if (detect_races) races.access(source);
      if (measure_traffic) traffic.bulk_reads(source);
    }
  }
  TracedAccess target = asynchronous(to, true, static_cast<char*>(where) + 1);
  if (detect_races && locate(target)) races.copy_starts(target);
}

void Tracer::bulk_arrives(void* to, int barrier, std::uint64_t phase) {
  TracedAccess target = asynchronous(to, true, nullptr);
  if (detect_races && locate(target)) races.bulk_arrives(target, barrier, phase);
}

void Tracer::product_reads(const void* from, void* where) {
  TracedAccess source = asynchronous(from, false, where);
  if (detect_races && locate(source)) races.access(source);
}

}  // namespace elbeam::kernels::emulated
