#include "kernels/emulated/machine.hpp"

#include "base/check.hpp"
#include "kernels/emulated/async.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <utility>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ELBEAM_ADDRESS_SANITIZER
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ELBEAM_ADDRESS_SANITIZER
#endif
#if defined(ELBEAM_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Saves the registers that a function must preserve, and goes on with another stack. ucontext would
// do, at thirty times the cost: it asks the kernel for the signal mask at each switch.
extern "C" void elbeam_switch_stack(void** save, void* load);
asm(R"(
.text
.globl elbeam_switch_stack
.type elbeam_switch_stack,@function
elbeam_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size elbeam_switch_stack,.-elbeam_switch_stack
.section .note.GNU-stack,"",@progbits
.text
)");

namespace elbeam::kernels::emulated {

Machine machine;

namespace {

constexpr std::size_t kStackBytes = 256 << 10;
constexpr std::uint64_t kCanary = 0x5afe57ac5afe57acU;
// What one block of any supported GPU may have (H100: 227 KiB); a device states its own limit.
constexpr int kMaxSharedBytes = 227 << 10;

#if defined(ELBEAM_ADDRESS_SANITIZER)
const void* scheduler_bottom = nullptr;  // of the stack that launches run on
std::size_t scheduler_size = 0;
#endif

std::mutex& launch_mutex() {
  static std::mutex mutex;
  return mutex;
}
std::mutex& memory_mutex() {
  static std::mutex mutex;
  return mutex;
}

void to_scheduler() {
  Fiber* fiber = machine.current;
#if defined(ELBEAM_ADDRESS_SANITIZER)
  __sanitizer_start_switch_fiber(fiber->state == State::kDone ? nullptr : &fiber->sanitizer_state,
                                 scheduler_bottom, scheduler_size);
#endif
  elbeam_switch_stack(&fiber->stack_pointer, machine.scheduler);
#if defined(ELBEAM_ADDRESS_SANITIZER)
  __sanitizer_finish_switch_fiber(fiber->sanitizer_state, &scheduler_bottom, &scheduler_size);
#endif
}

void release_barrier(int rank) {
  Block& block = machine.blocks[static_cast<std::size_t>(rank)];
  block.at_barrier = 0;
  ++block.barriers;
  for (const Fiber& fiber : machine.fibers) {
    if (fiber.rank == rank && fiber.state == State::kAtBarrier) make_ready(fiber.index);
  }
}

extern "C" void elbeam_fiber_main() {
#if defined(ELBEAM_ADDRESS_SANITIZER)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size);
#endif
  machine.body(machine.args);
  Fiber& fiber = *machine.current;
  check_thread_may_leave();
  fiber.state = State::kDone;
  --machine.live;
  --machine.warps[static_cast<std::size_t>(fiber.index / 32)].live;
  Block& block = machine.blocks[static_cast<std::size_t>(fiber.rank)];
  --block.live;
  if (block.live > 0 && block.at_barrier == block.live) release_barrier(fiber.rank);
  to_scheduler();
  std::abort();  // a finished fiber is never resumed
}

int pick_warp(int last, int favourite) {
  const auto can_run = [](int w) { return machine.warps[static_cast<std::size_t>(w)].ready != 0; };
  const int count = static_cast<int>(machine.warps.size());
  const bool backwards = machine.schedule == 2;
  int first = 0;
  if (machine.schedule == 0) first = last + 1;
  if (machine.schedule > 2) {
    first = machine.random() % 8 == 0
                ? static_cast<int>(machine.random() % static_cast<unsigned>(count))
                : favourite;
  }
  for (int i = 0; i < count; ++i) {
    const int w = backwards ? count - 1 - i : (first + i) % count;
    if (can_run(w)) return w;
  }
  return -1;
}

int pick_lane(unsigned lanes) {
  if (machine.schedule < 2) return __builtin_ctz(lanes);
  if (machine.schedule == 2) return 31 - __builtin_clz(lanes);
  const auto count = static_cast<unsigned>(__builtin_popcount(lanes));
  for (auto skip = machine.random() % count; skip > 0; --skip) lanes &= lanes - 1;
  return __builtin_ctz(lanes);
}

void prepare_fibers(int threads) {
  while (static_cast<int>(machine.fibers.size()) < threads) {
    Fiber fiber;
    void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ELBEAM_CHECK(stack != MAP_FAILED, ErrorCode::kOutOfMemory,
                 "no memory for the emulated device's threads");
    fiber.stack = static_cast<char*>(stack);
    fiber.index = static_cast<int>(machine.fibers.size());
    std::memcpy(fiber.stack, &kCanary, sizeof kCanary);
    machine.fibers.push_back(std::move(fiber));
  }
}

void reset_fiber(Fiber& fiber) {
  // Staggered, so that the tops of the stacks do not all fall on the same lines of the cache.
  const std::size_t stagger = static_cast<std::size_t>(fiber.index % 61) * 64;
  auto** top = reinterpret_cast<void**>(fiber.stack + kStackBytes - 64 - stagger);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&elbeam_fiber_main);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  fiber.stack_pointer = top;
  fiber.sanitizer_state = nullptr;
  fiber.pending.clear();
  fiber.groups.clear();
  fiber.open = 0;
  fiber.rank = fiber.index / machine.shape.threads;
  fiber.proxy_fences = fiber.cluster_arrivals = fiber.cluster_waits = 0;
}

void resume(Fiber& fiber) {
  machine.current = &fiber;
#if defined(ELBEAM_ADDRESS_SANITIZER)
  void* scheduler_state = nullptr;
  __sanitizer_start_switch_fiber(&scheduler_state, fiber.stack, kStackBytes);
#endif
  elbeam_switch_stack(&machine.scheduler, fiber.stack_pointer);
#if defined(ELBEAM_ADDRESS_SANITIZER)
  __sanitizer_finish_switch_fiber(scheduler_state, nullptr, nullptr);
#endif
}

std::string where() {
  const Fiber* fiber = machine.current;
  const int rank = fiber != nullptr ? fiber->rank : 0;
  std::string text = concat(" in ", machine.shape.name, " block (", machine.block[0] + rank, ",",
                            machine.block[1], ",", machine.block[2], ")");
  if (fiber != nullptr) text += concat(" thread ", fiber->index - rank * machine.shape.threads);
  return text;
}

std::string deadlock() {
  const std::string bulk = unfinished_bulk_barriers();
  if (!bulk.empty()) return concat("deadlock: ", bulk, where());
  return concat("deadlock: a barrier or warp operation that some thread never reaches", where());
}

void run_cluster() {
  const int threads = machine.shape.threads * machine.shape.cluster;
  machine.live = threads;
  machine.blocks.assign(static_cast<std::size_t>(machine.shape.cluster),
                        Block{machine.shape.threads, 0, 0});
  for (int rank = 0; rank < machine.shape.cluster; ++rank)
    std::memset(shared_of(rank), 0xff, static_cast<std::size_t>(machine.shape.shared_bytes));
  begin_async();
  machine.warps.assign(static_cast<std::size_t>(threads / 32), Warp{});
  for (Warp& warp : machine.warps) warp.live = 32;
  for (int t = 0; t < threads; ++t) {
    reset_fiber(machine.fibers[static_cast<std::size_t>(t)]);
    make_ready(t);
  }
  if (machine.trace.begin_block != nullptr) machine.trace.begin_block();
  int warp = -1;
  const int favourite =
      machine.schedule > 2
          ? static_cast<int>(machine.random() % static_cast<unsigned>(machine.warps.size()))
          : 0;
  while (machine.live > 0 && machine.error.empty()) {
    warp = pick_warp(warp, favourite);
    machine.current = nullptr;
    if (warp < 0) {
      machine.error = deadlock();
      break;
    }
    unsigned lanes = std::exchange(machine.warps[static_cast<std::size_t>(warp)].ready, 0U);
    while (lanes != 0 && machine.error.empty()) {
      const int lane = pick_lane(lanes);
      lanes &= ~(1U << lane);
      resume(machine.fibers[static_cast<std::size_t>(warp * 32 + lane)]);
    }
  }
  machine.current = nullptr;
  if (machine.trace.end_block != nullptr) machine.trace.end_block();
  if (machine.error.empty()) {
    if (const std::string bulk = unfinished_bulk_copies(); !bulk.empty())
      machine.error = concat(bulk, where());
  }
  for (const Fiber& fiber : machine.fibers) {
    if (std::memcmp(fiber.stack, &kCanary, sizeof kCanary) != 0 && machine.error.empty())
      machine.error = concat("stack overflow", where());
  }
}

// Shared memory of exactly the size that was asked for, so that AddressSanitizer sees an access
// behind it.
struct SharedMemory {
  // Swizzled tiles want whole multiples of 1024 bytes.
  SharedMemory(int bytes, int blocks) : size(static_cast<std::size_t>(bytes + 1039) / 1024 * 1024) {
    machine.shared_stride = size;
    size *= static_cast<std::size_t>(blocks);
    machine.shared = static_cast<unsigned char*>(std::aligned_alloc(1024, size));
    ELBEAM_CHECK(machine.shared != nullptr, ErrorCode::kOutOfMemory,
                 "no memory for the emulated device");
#if defined(ELBEAM_ADDRESS_SANITIZER)
    for (int rank = 0; rank < blocks; ++rank)
      __asan_poison_memory_region(shared_of(rank) + bytes,
                                  machine.shared_stride - static_cast<std::size_t>(bytes));
#endif
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() {
#if defined(ELBEAM_ADDRESS_SANITIZER)
    __asan_unpoison_memory_region(machine.shared, size);
#endif
    std::free(machine.shared);
    machine.shared = nullptr;
  }
  std::size_t size;
};

}  // namespace

void run_grid(const LaunchShape& shape, void (*body)(const void*), const void* args) {
  const std::lock_guard<std::mutex> lock(launch_mutex());
  ELBEAM_CHECK(shape.threads >= 32 && shape.threads <= 1024 && shape.threads % 32 == 0 &&
                   shape.grid[0] >= 1 && shape.grid[1] >= 1 && shape.grid[1] <= 65535 &&
                   shape.grid[2] >= 1 && shape.grid[2] <= 65535 && shape.shared_bytes >= 0 &&
                   shape.shared_bytes <= kMaxSharedBytes && shape.cluster >= 1 &&
                   shape.grid[0] % shape.cluster == 0,
               ErrorCode::kInternal, "emulated device: ", shape.name, " cannot be launched with (",
               shape.grid[0], ",", shape.grid[1], ",", shape.grid[2], ") blocks of ", shape.threads,
               " threads, ", shape.shared_bytes, " bytes of shared memory and clusters of ",
               shape.cluster);
  const int threads = shape.threads * shape.cluster;
  prepare_fibers(threads);
  std::vector<Fiber> spare(std::make_move_iterator(machine.fibers.begin() + threads),
                           std::make_move_iterator(machine.fibers.end()));
  machine.fibers.resize(static_cast<std::size_t>(threads));
  const SharedMemory shared(shape.shared_bytes, shape.cluster);
  machine.shape = shape;
  machine.body = body;
  machine.args = args;
  machine.error.clear();
  if (machine.trace.begin_launch != nullptr) machine.trace.begin_launch();
  const int clusters = shape.grid[0] / shape.cluster;
  std::vector<std::int64_t> order(
      static_cast<std::size_t>(std::int64_t{clusters} * shape.grid[1] * shape.grid[2]));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  if (machine.schedule == 2) std::reverse(order.begin(), order.end());
  if (machine.schedule > 2) std::shuffle(order.begin(), order.end(), machine.random);
  for (const std::int64_t place : order) {
    machine.block[0] = static_cast<int>(place % clusters) * shape.cluster;
    machine.block[1] = static_cast<int>(place / clusters % shape.grid[1]);
    machine.block[2] = static_cast<int>(place / clusters / shape.grid[1]);
    run_cluster();
    if (!machine.error.empty()) break;
  }
#if defined(ELBEAM_ADDRESS_SANITIZER)
  if (!machine.error.empty()) {  // frames that were stopped half-way are not left by returning
    for (const Fiber& fiber : machine.fibers)
      __asan_unpoison_memory_region(fiber.stack, kStackBytes);
  }
#endif
  machine.fibers.insert(machine.fibers.end(), std::make_move_iterator(spare.begin()),
                        std::make_move_iterator(spare.end()));
  ELBEAM_CHECK(machine.error.empty(), ErrorCode::kInternal, "emulated device: ", machine.error);
}

namespace {
thread_local std::vector<Work>* recording = nullptr;
}

void start_recording(std::vector<Work>& works) { recording = &works; }
void stop_recording() noexcept { recording = nullptr; }
bool record(Work work) {
  if (recording == nullptr) return false;
  recording->push_back(std::move(work));
  return true;
}

void set_schedule(int schedule) {
  const std::lock_guard<std::mutex> lock(launch_mutex());
  machine.schedule = schedule;
  machine.random.seed(static_cast<unsigned>(schedule));
}

void* allocate(std::int64_t bytes) {
  const std::size_t size = static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1));
  void* memory = nullptr;
  ELBEAM_CHECK(posix_memalign(&memory, 256, size) == 0, ErrorCode::kOutOfMemory,
               "emulated device: cannot allocate ", bytes, " bytes");
  std::memset(memory, 0xff, size);
  const std::lock_guard<std::mutex> lock(memory_mutex());
  machine.memory[static_cast<const char*>(memory)] = bytes;
  return memory;
}

void release(void* memory) noexcept {
  {
    const std::lock_guard<std::mutex> lock(memory_mutex());
    machine.memory.erase(static_cast<const char*>(memory));
  }
  std::free(memory);
}

void stop(const char* why) {
  machine.error = concat(why, where());
  to_scheduler();
  std::abort();  // the launch has ended, and nothing of it is resumed
}

void suspend(State state) {
  machine.current->state = state;
  to_scheduler();
}

void make_ready(int thread) {
  machine.fibers[static_cast<std::size_t>(thread)].state = State::kReady;
  machine.warps[static_cast<std::size_t>(thread / 32)].ready |= 1U << (thread % 32);
}

void block_barrier() {
  const int rank = machine.current->rank;
  Block& block = machine.blocks[static_cast<std::size_t>(rank)];
  machine.current->state = State::kAtBarrier;
  if (++block.at_barrier == block.live) release_barrier(rank);
  to_scheduler();
}

const Warp& meet(int operation, std::uint64_t value) {
  Fiber& fiber = *machine.current;
  const int first = fiber.index / 32 * 32;
  Warp& warp = machine.warps[static_cast<std::size_t>(fiber.index / 32)];
  if (warp.live != 32) stop("warp operation with lanes that have left the kernel");
  fiber.state = State::kAtWarpOperation;
  fiber.operation = operation;
  warp.left[fiber.index - first] = value;
  warp.arrived |= 1U << (fiber.index - first);
  if (warp.arrived == ~0U) {
    for (int lane = 0; lane < 32; ++lane) {
      if (machine.fibers[static_cast<std::size_t>(first + lane)].operation != operation)
        stop("lanes meet at different warp operations");
      warp.slots[lane] = warp.left[lane];
      make_ready(first + lane);
    }
    warp.arrived = 0;
    ++warp.operations;
    if (operation == kWarpBarrier) ++warp.barriers;
  }
  to_scheduler();
  return warp;
}

void copy_async(void* to, const void* from) {
  check_aligned(to, 16);
  check_aligned(from, 16);
  if (machine.trace.copy_starts != nullptr)
    machine.trace.copy_starts(to, from, __builtin_return_address(0));
  machine.current->pending.push_back({to, from});
  ++machine.current->open;
}

void commit_copies() {
  Fiber& fiber = *machine.current;
  fiber.groups.push_back(std::exchange(fiber.open, 0));
}

void wait_copies(std::size_t pending) {
  Fiber& fiber = *machine.current;
  std::size_t arrived = 0;
  while (fiber.groups.size() > pending) {
    arrived += fiber.groups.front();
    fiber.groups.erase(fiber.groups.begin());
  }
  for (std::size_t i = 0; i < arrived; ++i) {
    const PendingCopy& copy = fiber.pending[i];
    std::memcpy(copy.to, copy.from, 16);
    if (machine.trace.copy_arrives != nullptr) machine.trace.copy_arrives(copy.to, copy.from);
  }
  fiber.pending.erase(fiber.pending.begin(),
                      fiber.pending.begin() + static_cast<std::ptrdiff_t>(arrived));
}

}  // namespace elbeam::kernels::emulated
