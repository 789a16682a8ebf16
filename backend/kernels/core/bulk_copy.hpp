// What sm_90 has for tiles that come into shared memory by themselves, and for pairs of blocks:
// each instruction in one wrapper; what they do on the emulated machine is in emulated/async.hpp.
// Kernels that use them do nothing but stop when they are compiled for anything else
// (kHasWarpgroups).
#pragma once

#include "kernels/core/device.hpp"
#include "kernels/core/tile_map.hpp"

#if !defined(__CUDACC__)
#include "kernels/emulated/async.hpp"
#endif

// wgmma is sm_90a's own: neither sm_90's nor that of later architectures.
#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define ELBEAM_WARPGROUPS
#endif

namespace elbeam::kernels {

#if defined(__CUDACC__)

ELBEAM_DEVICE unsigned shared_address(const void* place) {
  return static_cast<unsigned>(__cvta_generic_to_shared(place));
}

// The whole of `barrier`, 8 bytes of shared memory, for phases of so many arrivals.
ELBEAM_DEVICE void start_bulk_barrier(void* barrier, int arrivals) {
#if defined(ELBEAM_WARPGROUPS)
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(barrier)),
               "r"(arrivals)
               : "memory");
#endif
}
// Arrives, and lets the phase wait for so many bytes more.
ELBEAM_DEVICE void expect_bytes(void* barrier, int bytes) {
#if defined(ELBEAM_WARPGROUPS)
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
#endif
}
// Waits for the phase of that parity, 0 of the first, to be complete.
ELBEAM_DEVICE void wait_bulk(void* barrier, int parity) {
#if defined(ELBEAM_WARPGROUPS)
  unsigned done = 0;
  while (done == 0) {
    asm volatile(
        "{\n.reg .pred complete;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 complete, [%1], %2;\n"
        "selp.b32 %0, 1, 0, complete;\n}\n"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  }
#endif
}
// Starts the copy of the box at (column, row), which arrives in the barrier's phase.
ELBEAM_DEVICE void copy_box(void* to_shared, const TileMap& map, int column, int row,
                            void* barrier) {
#if defined(ELBEAM_WARPGROUPS)
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%2, %3}], [%4];\n" ::"r"(shared_address(to_shared)),
      "l"(&map), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
#endif
}
// What this thread has written to shared memory may be read by what is asynchronous, behind the
// next barrier.
ELBEAM_DEVICE void fence_async() {
#if defined(ELBEAM_WARPGROUPS)
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
#endif
}

ELBEAM_DEVICE void cluster_arrive() {
#if defined(ELBEAM_WARPGROUPS)
  asm volatile("barrier.cluster.arrive.release.aligned;\n" ::: "memory");
#endif
}
ELBEAM_DEVICE void cluster_wait() {
#if defined(ELBEAM_WARPGROUPS)
  asm volatile("barrier.cluster.wait.acquire.aligned;\n" ::: "memory");
#endif
}
ELBEAM_DEVICE int cluster_rank() {
  unsigned rank = 0;
#if defined(ELBEAM_WARPGROUPS)
  asm("mov.u32 %0, %%cluster_ctarank;\n" : "=r"(rank));
#endif
  return static_cast<int>(rank);
}
// Writes 16 bytes to the same place in the shared memory of the other block of the pair.
ELBEAM_DEVICE void store_to_peer(void* own, const Bits128& bits) {
#if defined(ELBEAM_WARPGROUPS)
  unsigned peer = 0;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;\n"
               : "=r"(peer)
               : "r"(shared_address(own)), "r"(cluster_rank() ^ 1));
  asm volatile("st.shared::cluster.v4.b32 [%0], {%1, %2, %3, %4};\n" ::"r"(peer), "r"(bits.word[0]),
               "r"(bits.word[1]), "r"(bits.word[2]), "r"(bits.word[3])
               : "memory");
#endif
}

#else

using emulated::cluster_arrive;
using emulated::cluster_rank;
using emulated::cluster_wait;
using emulated::fence_async;

inline unsigned shared_address(const void* place) {
  return static_cast<unsigned>(static_cast<const unsigned char*>(place) - shared_memory());
}
// That a barrier was started is written where it lies: its users have to be ordered behind it.
inline void start_bulk_barrier(void* barrier, int arrivals) {
  *static_cast<volatile std::uint64_t*>(barrier) = 1;
  emulated::start_bulk_barrier(barrier, arrivals);
}
inline void use_barrier(const void* barrier) {
  static_cast<void>(*static_cast<const volatile std::uint64_t*>(barrier));
}
inline void expect_bytes(void* barrier, int bytes) {
  use_barrier(barrier);
  emulated::expect_bytes(barrier, bytes);
}
inline void wait_bulk(void* barrier, int parity) {
  use_barrier(barrier);
  emulated::wait_bulk(barrier, parity);
}
inline void copy_box(void* to_shared, const TileMap& map, int column, int row, void* barrier) {
  TileMapSource source;
  memcpy(&source, map.words, sizeof source);
  emulated::copy_box(to_shared, source, column, row, barrier);
}
inline void store_to_peer(void* own, const Bits128& bits) {
  store_128(emulated::peer_address(own), bits);
}

#endif

}  // namespace elbeam::kernels
