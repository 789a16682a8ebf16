#include "kernels/emulated/async.hpp"

#include "base/check.hpp"
#include "kernels/emulated/products.hpp"

#include <algorithm>
#include <vector>

namespace elbeam::kernels::emulated {
namespace {

constexpr int kRowBytes = kBoxRowBytes;

struct BulkCopy {
  unsigned char* to;
  TileMapSource map;
  int column;
  int row;
};

// An mbarrier: its state is here, not in the 8 bytes of shared memory that it has.
struct BulkBarrier {
  const void* place = nullptr;
  int arrivals = 0;  // of each phase
  int missing = 0;   // of this phase
  std::int64_t bytes = 0;
  std::uint64_t phase = 0;  // how many have completed
  std::vector<BulkCopy> copies;
  std::vector<int> waiting;
  std::vector<std::uint64_t> seen;  // phases that each thread knows to have completed
  int starter = 0;                  // thread, and how many fences it had passed
  std::uint32_t fences = 0;
};

std::vector<BulkBarrier> barriers;
std::uint32_t cluster_generation = 0;
int cluster_arrived = 0;

std::size_t own(const Fiber& fiber) { return static_cast<std::size_t>(fiber.index); }

BulkBarrier& find(const void* place) {
  for (BulkBarrier& barrier : barriers) {
    if (barrier.place == place) return barrier;
  }
  stop("an mbarrier that was not initialised");
}

// Calls visit(to, from) for each 16 bytes of a box; from is nullptr for zeros.
template <typename Visit>
void for_each_vector(const BulkCopy& copy, Visit&& visit) {
  const auto* first = static_cast<const unsigned char*>(copy.map.first);
  for (int r = 0; r < copy.map.box_rows; ++r) {
    for (int v = 0; v < kRowBytes / 16; ++v) {
      // Bits 4 to 6 of the address in shared memory are exchanged by its bits 7 to 9.
      unsigned char* to = copy.to + r * kRowBytes + v * 16;
      const auto address = static_cast<std::uintptr_t>(to - machine.shared);
      to = machine.shared + (address ^ ((address >> 7 & 7) << 4));
      const std::int64_t row = std::int64_t{copy.row} + r;
      const std::int64_t column = std::int64_t{copy.column} + 8 * v;
      const bool inside = row >= 0 && row < copy.map.rows && column < copy.map.columns;
      visit(to, inside ? first + row * copy.map.stride_bytes + 2 * column : nullptr);
    }
  }
}

void land(BulkBarrier& barrier) {
  const int number = static_cast<int>(&barrier - barriers.data());
  for (const BulkCopy& copy : barrier.copies) {
    for_each_vector(copy, [&](unsigned char* to, const unsigned char* from) {
      if (from != nullptr) {
        std::memcpy(to, from, 16);
      } else {
        std::memset(to, 0, 16);
      }
      if (machine.trace.bulk_arrives != nullptr)
        machine.trace.bulk_arrives(to, from, number, barrier.phase);
    });
    barrier.bytes -= std::int64_t{kRowBytes} * copy.map.box_rows;
  }
  barrier.copies.clear();
}

// Copies land when somebody waits for them, not before.
void settle(BulkBarrier& barrier) {
  if (!barrier.waiting.empty()) land(barrier);
  if (barrier.missing > 0 || barrier.bytes != 0 || !barrier.copies.empty()) return;
  ++barrier.phase;
  barrier.missing = barrier.arrivals;
  for (const int thread : barrier.waiting) make_ready(thread);
  barrier.waiting.clear();
}

}  // namespace

void begin_async() {
  barriers.clear();
  cluster_generation = 0;
  cluster_arrived = 0;
  begin_products_of_cluster();
}

void start_bulk_barrier(void* barrier, int arrivals) {
  check_aligned(barrier, 8);
  const bool known = std::any_of(barriers.begin(), barriers.end(),
                                 [&](const BulkBarrier& b) { return b.place == barrier; });
  if (known) stop("an mbarrier is initialised twice");
  BulkBarrier fresh;
  fresh.place = barrier;
  fresh.arrivals = fresh.missing = arrivals;
  fresh.seen.assign(machine.fibers.size(), 0);
  fresh.starter = machine.current->index;
  fresh.fences = machine.current->proxy_fences;
  barriers.push_back(std::move(fresh));
}

void expect_bytes(void* barrier, int bytes) {
  BulkBarrier& b = find(barrier);
  b.bytes += bytes;
  --b.missing;
  settle(b);
}

void wait_bulk(void* barrier, int parity) {
  Fiber& fiber = *machine.current;
  while (static_cast<int>(find(barrier).phase & 1U) == parity) {
    BulkBarrier& b = find(barrier);
    b.waiting.push_back(fiber.index);
    fiber.state = State::kAtBulkBarrier;
    settle(b);  // which may make this thread ready again
    suspend(fiber.state);
  }
  BulkBarrier& b = find(barrier);
  b.seen[own(fiber)] = b.phase;
}

void copy_box(void* to, const TileMapSource& map, int column, int row, void* barrier) {
  check_aligned(to, 1024);
  BulkBarrier& b = find(barrier);
  if (machine.fibers[static_cast<std::size_t>(b.starter)].proxy_fences == b.fences)
    stop("a bulk copy on an mbarrier that no fence has shown to it");
  const BulkCopy copy{static_cast<unsigned char*>(to), map, column, row};
  const int bytes = map.box_rows * kRowBytes;
  if (copy.to < shared_memory() || copy.to + bytes > shared_memory() + machine.shape.shared_bytes)
    stop("a bulk copy beyond shared memory");
  if (machine.trace.bulk_starts != nullptr) {
    void* const where = __builtin_return_address(0);
    for_each_vector(copy, [&](unsigned char* place, const unsigned char* from) {
      machine.trace.bulk_starts(place, from, where);
    });
  }
  b.copies.push_back(copy);
  settle(b);
}

void fence_async() { ++machine.current->proxy_fences; }

bool has_waited(int thread, int barrier, std::uint64_t phase) {
  return barriers[static_cast<std::size_t>(barrier)].seen[static_cast<std::size_t>(thread)] > phase;
}

std::string unfinished_bulk_barriers() {
  for (const BulkBarrier& b : barriers) {
    if (!b.waiting.empty()) {
      return concat("a phase of an mbarrier that does not complete (", b.missing, " arrivals and ",
                    b.bytes, " bytes are missing, ", b.phase, " phases before it)");
    }
  }
  return "";
}

std::string unfinished_bulk_copies() {
  for (const BulkBarrier& b : barriers) {
    if (!b.copies.empty()) return "a bulk copy that nobody has waited for";
  }
  return "";
}

void cluster_arrive() {
  Fiber& fiber = *machine.current;
  if (fiber.cluster_arrivals != fiber.cluster_waits)
    stop("a second arrival at the cluster's barrier without a wait");
  ++fiber.cluster_arrivals;
  if (++cluster_arrived < static_cast<int>(machine.fibers.size())) return;
  cluster_arrived = 0;
  ++cluster_generation;
  for (const Fiber& other : machine.fibers) {
    if (other.state == State::kAtClusterBarrier) make_ready(other.index);
  }
}

void cluster_wait() {
  Fiber& fiber = *machine.current;
  if (fiber.cluster_arrivals == fiber.cluster_waits)
    stop("a wait at the cluster's barrier without an arrival");
  if (cluster_generation <= fiber.cluster_waits) suspend(State::kAtClusterBarrier);
  ++fiber.cluster_waits;
}

int cluster_rank() { return machine.current->rank; }

void* peer_address(void* own_address) {
  const int rank = machine.current->rank;
  const int peer = rank ^ 1;
  if (peer >= machine.shape.cluster) stop("the other block of a block without a cluster");
  if (machine.blocks[static_cast<std::size_t>(peer)].live < machine.shape.threads)
    stop("the shared memory of a block that has left");
  return static_cast<unsigned char*>(own_address) - shared_of(rank) + shared_of(peer);
}

void check_thread_may_leave() {
  const Fiber& fiber = *machine.current;
  if (fiber.cluster_arrivals != fiber.cluster_waits)
    stop("a thread leaves between arrival and wait at the cluster's barrier");
  check_products_done();
}

}  // namespace elbeam::kernels::emulated
