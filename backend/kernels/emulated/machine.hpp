// A machine for CUDA kernels on one CPU core: every thread of a block is a fiber, blocks run one
// after another, but for those of a cluster, which run together. It runs the bodies of kernels/core
// with the meaning that CUDA gives them and stops with an Error at what a GPU would leave
// undefined: a barrier that some threads never reach, lanes that meet at different warp operations,
// misaligned 16-byte accesses, a copy that is read before it was waited for (its bytes arrive at
// the wait only). What sm_90 adds is in async.hpp.
//
// Blocks of different clusters never run at the same time, and memory is sequentially consistent:
// kernels that let such blocks wait for each other, or that lack a fence between them, are not
// caught.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace elbeam::kernels::emulated {

struct LaunchShape {
  const char* name = "";
  int grid[3] = {1, 1, 1};
  int threads = 32;
  int shared_bytes = 0;
  int cluster = 1;  // blocks along x that run together
};

// Runs body(args) in every thread of the grid. One launch runs at a time; others wait. Throws
// Error(kInternal) for a bad shape or a kernel that does what a GPU leaves undefined.
void run_grid(const LaunchShape& shape, void (*body)(const void*), const void* args);

// While this thread records, record() keeps the work and returns true; else it is to be done at
// once.
using Work = std::function<void()>;
void start_recording(std::vector<Work>& works);
void stop_recording() noexcept;
bool record(Work work);

// In which order warps and lanes run, and blocks: 0 warps in turn; 1 greedy, the lowest warp as
// long as it can; 2 greedy, the highest first, lanes and blocks backwards; from 3 on random with
// that seed. A correct kernel gives the same bits under all of them.
void set_schedule(int schedule);

// Device memory: 256-byte aligned, filled with 0xff bytes (NaN, -1). allocate() throws
// Error(kOutOfMemory).
void* allocate(std::int64_t bytes);
void release(void* memory) noexcept;

enum class State : std::uint8_t {
  kReady,
  kAtBarrier,
  kAtWarpOperation,
  kAtClusterBarrier,
  kAtBulkBarrier,
  kAtWarpgroup,
  kDone
};

struct PendingCopy {
  void* to;
  const void* from;
};

struct Fiber {
  void* stack_pointer = nullptr;
  char* stack = nullptr;
  int index = 0;  // among the threads of the cluster
  int rank = 0;   // of its block in the cluster
  State state = State::kReady;
  int operation = 0;                 // of the warp, that this lane waits at
  std::vector<PendingCopy> pending;  // not yet waited for, oldest first
  std::vector<std::size_t> groups;   // how many of them each committed group has
  std::size_t open = 0;              // not yet committed
  std::uint32_t proxy_fences = 0;    // of what it wrote, for asynchronous readers
  std::uint32_t cluster_arrivals = 0;
  std::uint32_t cluster_waits = 0;
  void* sanitizer_state = nullptr;
};

// A block of the cluster that runs.
struct Block {
  int live = 0;
  int at_barrier = 0;
  std::uint64_t barriers = 0;
};

struct Warp {
  unsigned ready = 0;
  unsigned arrived = 0;
  int live = 0;
  std::uint64_t operations = 0;  // that all lanes have passed
  std::uint64_t barriers = 0;    // those of them that order memory: a shuffle or a vote does not
  std::uint64_t left[32] = {};   // by the lanes that have arrived
  std::uint64_t slots[32] = {};  // what every lane left at the operation that has just met
};

// For who watches the kernels: tests/device/trace. The accesses themselves are seen by the
// instrumentation of the compiler, all but those of copy_async().
struct TraceHooks {
  void (*begin_launch)();
  void (*begin_block)();
  void (*end_block)();
  void (*copy_starts)(void* to, const void* from, void* where);
  void (*copy_arrives)(void* to, const void* from);  // at the wait of the thread that started it
  // 16 bytes of a bulk copy; `from` is nullptr where zeros are filled in. They arrive in a phase of
  // a barrier.
  void (*bulk_starts)(void* to, const void* from, void* where);
  void (*bulk_arrives)(void* to, const void* from, int barrier, std::uint64_t phase);
  // 16 bytes of shared memory that a product reads, some time between its start and its wait.
  void (*product_reads)(const void* from, void* where);
};

struct Machine {
  LaunchShape shape;
  int block[3] = {0, 0, 0};  // the first of the cluster
  Fiber* current = nullptr;
  unsigned char* shared = nullptr;  // of the first block
  std::size_t shared_stride = 0;    // from one block's to the next one's
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::vector<Block> blocks;
  int live = 0;
  void* scheduler = nullptr;  // stack pointer
  void (*body)(const void*) = nullptr;
  const void* args = nullptr;
  std::string error;
  int schedule = 0;
  std::mt19937 random;
  std::map<const char*, std::int64_t> memory;
  TraceHooks trace{};
};
extern Machine machine;

// ---- what the kernels call (core/device.hpp) ----------------------------------------------------

[[noreturn]] void stop(const char* why);  // ends the launch with an Error
// For the operations of async.hpp: lets others run until make_ready() of this thread.
void suspend(State state);
void make_ready(int thread);
void block_barrier();
// Meets the other lanes of the warp; the values that they left are then in slots.
const Warp& meet(int operation, std::uint64_t value);
void copy_async(void* to, const void* from);
void commit_copies();
void wait_copies(std::size_t pending);

inline int thread_count() { return machine.shape.threads; }
inline int thread_index() {
  return machine.current->index - machine.current->rank * thread_count();
}
inline int block_x() { return machine.block[0] + machine.current->rank; }
inline int block_y() { return machine.block[1]; }
inline int block_z() { return machine.block[2]; }
inline int grid_y() { return machine.shape.grid[1]; }
inline unsigned char* shared_of(int rank) {
  return machine.shared + static_cast<std::size_t>(rank) * machine.shared_stride;
}
inline unsigned char* shared_memory() { return shared_of(machine.current->rank); }

inline void check_aligned(const void* address, std::uintptr_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0) stop("misaligned access");
}

template <int kPending>
void wait_copies() {
  wait_copies(kPending);
}

enum Operation { kWarpBarrier = 1, kShuffle, kShuffleXor, kShuffleUp, kBallot, kFragments };

template <typename V>
std::uint64_t to_slot(V value) {
  static_assert(sizeof(V) <= sizeof(std::uint64_t));
  std::uint64_t slot = 0;
  std::memcpy(&slot, &value, sizeof value);
  return slot;
}
template <typename V>
V from_slot(std::uint64_t slot) {
  V value;
  std::memcpy(&value, &slot, sizeof value);
  return value;
}

inline void warp_barrier() { meet(kWarpBarrier, 0); }
template <typename V>
V shuffle(V value, int lane) {
  return from_slot<V>(meet(kShuffle, to_slot(value)).slots[lane & 31]);
}
template <typename V>
V shuffle_xor(V value, int bits) {
  const Warp& warp = meet(kShuffleXor, to_slot(value));
  return from_slot<V>(warp.slots[(thread_index() ^ bits) & 31]);
}
// A lane below `distance` keeps its own.
template <typename V>
V shuffle_up(V value, int distance) {
  const Warp& warp = meet(kShuffleUp, to_slot(value));
  const int lane = thread_index() & 31;
  return from_slot<V>(warp.slots[lane < distance ? lane : lane - distance]);
}
inline unsigned ballot(bool vote) {
  const Warp& warp = meet(kBallot, vote ? 1 : 0);
  unsigned votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane)
    votes |= static_cast<unsigned>(warp.slots[lane]) << lane;
  return votes;
}

}  // namespace elbeam::kernels::emulated
