// What sm_90 adds to the emulated machine: mbarriers and bulk copies, clusters, and the products of
// a warpgroup. As on a GPU, what is asynchronous is only there after the wait for it: a bulk copy
// lands when somebody waits for its barrier's phase, a product when its group is waited for.
#pragma once

#include "kernels/core/tile_map.hpp"
#include "kernels/emulated/machine.hpp"

#include <cstddef>
#include <string>

namespace elbeam::kernels::emulated {

// ---- mbarriers and bulk copies ------------------------------------------------------------------

void start_bulk_barrier(void* barrier, int arrivals);
void expect_bytes(void* barrier, int bytes);  // and arrives
void wait_bulk(void* barrier, int parity);
// A box whose rows of 128 bytes are swizzled (CU_TENSOR_MAP_SWIZZLE_128B); zeros where the map
// ends.
void copy_box(void* to, const TileMapSource& map, int column, int row, void* barrier);
// What this thread has written to shared memory can be read asynchronously.
void fence_async();

// Whether this thread has waited for that phase of the barrier with that number.
bool has_waited(int thread, int barrier, std::uint64_t phase);
std::string unfinished_bulk_barriers();  // that threads wait for, in words, or ""
std::string unfinished_bulk_copies();

// ---- clusters -----------------------------------------------------------------------------------

void cluster_arrive();
void cluster_wait();
int cluster_rank();
// The same place in the shared memory of the other block of a pair.
void* peer_address(void* own);

// ---- products of a warpgroup --------------------------------------------------------------------

void begin_products();
void commit_products();
void wait_products(std::size_t pending);

// One wgmma.mma_async.m64nNk16, as this thread issues it.
struct TileProduct {
  std::uint64_t a = 0;  // matrix descriptors
  std::uint64_t b = 0;
  int columns = 8;            // N
  bool transposed_a = false;  // stored with M, not K, along the rows
  bool transposed_b = false;
  float (*number)(std::uint16_t bits) = nullptr;
  float* sums = nullptr;  // columns / 2 of them
  bool operator==(const TileProduct& other) const {
    return a == other.a && b == other.b && columns == other.columns &&
           transposed_a == other.transposed_a && transposed_b == other.transposed_b &&
           number == other.number;
  }
};
void start_product(const TileProduct& product);

// ---- for machine.cpp ----------------------------------------------------------------------------

void begin_async();             // a cluster starts
void check_thread_may_leave();  // stops a thread that leaves with something open

}  // namespace elbeam::kernels::emulated
