#include "device/trace/planted_races.hpp"

#include "kernels/core/warpgroup.hpp"

namespace elbeam::kernels::planted {
namespace {

const float* numbers(const void* args) { return static_cast<const PlantedArgs*>(args)->numbers; }
float* out(const void* args) { return static_cast<const PlantedArgs*>(args)->out; }
float* shared() { return reinterpret_cast<float*>(shared_memory()); }
int other_warp() { return (thread_index() + kWarp) % thread_count(); }
int neighbour() { return thread_index() ^ 1; }
bool first_block() { return block_x() == 0; }

}  // namespace

void correct(const void* args) {
  if (!first_block()) return;
  copy_async(shared() + 4 * thread_index(), numbers(args) + 4 * (thread_index() % 16));
  commit_copies();
  wait_copies<0>();
  block_barrier();
  const float sum = shared()[4 * other_warp()] + shared()[4 * neighbour()];
  block_barrier();
  shared()[thread_index()] = sum;
  warp_barrier();
  out(args)[thread_index()] = shared()[neighbour()];
}

void missing_block_barrier(const void* args) {
  if (!first_block()) return;
  shared()[thread_index()] = 1.0F;
  warp_barrier();
  out(args)[thread_index()] = shared()[other_warp()];
}

void missing_barrier_before_reuse(const void* args) {
  if (!first_block()) return;
  shared()[thread_index()] = 1.0F;
  block_barrier();
  const float read = shared()[other_warp()];
  shared()[thread_index()] = read + numbers(args)[0];
}

void missing_warp_barrier(const void* args) {
  if (!first_block()) return;
  shared()[thread_index()] = 1.0F;
  out(args)[thread_index()] = shared()[neighbour()];
}

void shuffle_is_no_barrier(const void* args) {
  if (!first_block()) return;
  shared()[thread_index()] = 1.0F;
  const float value = shuffle_xor(2.0F, 1);
  out(args)[thread_index()] = value + shared()[neighbour()];
}

void write_by_all(const void* args) {
  if (first_block()) out(args)[0] = 1.0F;
}

void blocks_write(const void* args) { out(args)[thread_index()] = 1.0F; }

void block_reads_what_another_writes(const void* args) {
  if (first_block()) {
    out(args)[thread_index()] = 1.0F;
  } else {
    shared()[thread_index()] = out(args)[thread_index()];
  }
}

void copy_without_wait(const void* args) {
  if (!first_block()) return;
  copy_async(shared() + 4 * thread_index(), numbers(args) + 4 * (thread_index() % 16));
  commit_copies();
  wait_copies<1>();
  out(args)[thread_index()] = shared()[4 * thread_index()];
  wait_copies<0>();
}

void wait_without_barrier(const void* args) {
  if (!first_block()) return;
  copy_async(shared() + 4 * thread_index(), numbers(args) + 4 * (thread_index() % 16));
  commit_copies();
  wait_copies<0>();
  out(args)[thread_index()] = shared()[4 * other_warp()];
}

void copy_over_what_is_read(const void* args) {
  if (!first_block()) return;
  shared()[thread_index()] = 1.0F;
  block_barrier();
  out(args)[thread_index()] = shared()[other_warp()];
  if (thread_index() < 16) copy_async(shared() + 4 * thread_index(), numbers(args));
  commit_copies();
  block_barrier();
  wait_copies<0>();
}

void reads_uninitialised(const void* args) {
  if (!first_block()) return;
  if (thread_index() != 5) shared()[thread_index()] = 1.0F;
  block_barrier();
  out(args)[thread_index()] = shared()[thread_index()];
}

void reads_beside(const void* args) {
  if (!first_block()) return;
  shared()[thread_index()] = numbers(args)[thread_index() - 1];
}

namespace {

// What the kernels of sm_90 do, with one mistake or none.
enum class Mistake {
  kNone,
  kProductWithoutFence,
  kCopyWithoutFence,
  kCopyWithoutWait,
  kCopyOverProduct,
  kPeerWithoutBarrier,
  kPeerReused
};

constexpr int kBarrierPlace = 2048;
constexpr int kSlotPlace = 3072;

void copy(const void* args) {
  expect_bytes(shared_memory() + kBarrierPlace, 1024);
  copy_box(shared_memory(), static_cast<const PlantedArgs*>(args)->map, 0, 0,
           shared_memory() + kBarrierPlace);
}

void start_barrier() {
  if (thread_index() == 0) {
    start_bulk_barrier(shared_memory() + kBarrierPlace, 1);
    fence_async();
  }
  block_barrier();
}

void exchange(float& value, Mistake mistake) {
  auto* slot = reinterpret_cast<float*>(shared_memory() + kSlotPlace) + 4 * (thread_index() % 64);
  const bool takes_part = thread_index() < 64;
  if (takes_part) store_to_peer(slot, Bits128{{float_bits(value), 0, 0, 0}});
  if (takes_part && mistake == Mistake::kPeerWithoutBarrier) value = *slot;
  cluster_arrive();
  cluster_wait();
  if (takes_part && mistake != Mistake::kPeerWithoutBarrier) value = *slot;
  if (takes_part && mistake == Mistake::kPeerReused) store_to_peer(slot, Bits128{{0, 0, 0, 0}});
  cluster_arrive();
  cluster_wait();
}

// Writes 2 KiB, of which 1 KiB is copied over; multiplies them; exchanges a number.
void use_everything(const void* args, Mistake mistake) {
  start_barrier();
  store_128(shared_memory() + 16 * thread_index(), Bits128{{0, 0, 0, 0}});
  if (mistake != Mistake::kCopyWithoutFence && mistake != Mistake::kProductWithoutFence)
    fence_async();
  block_barrier();
  if (mistake != Mistake::kProductWithoutFence) {
    if (thread_index() == 0) copy(args);
    if (mistake != Mistake::kCopyWithoutWait || thread_index() == 0)
      wait_bulk(shared_memory() + kBarrierPlace, 0);
  }
  float sums[4] = {};
  const std::uint64_t matrix = describe(shared_address(shared_memory()), plain_layout(256, 128));
  begin_products();
  multiply_tiles<Half, 8, false, false>(sums, matrix, matrix);
  commit_products();
  if (mistake == Mistake::kCopyOverProduct) {
    block_barrier();
    if (thread_index() == 0) copy(args);
  }
  wait_products<0>();
  if (mistake == Mistake::kCopyOverProduct) wait_bulk(shared_memory() + kBarrierPlace, 1);
  changed_by_products(sums);
  cluster_arrive();
  cluster_wait();
  exchange(sums[0], mistake);
  if (block_x() == 0 && thread_index() < 64) out(args)[thread_index()] = sums[0];
}

}  // namespace

void correct_async(const void* args) { use_everything(args, Mistake::kNone); }
void product_without_fence(const void* args) {
  use_everything(args, Mistake::kProductWithoutFence);
}
void bulk_copy_without_fence(const void* args) { use_everything(args, Mistake::kCopyWithoutFence); }
void bulk_copy_without_wait(const void* args) { use_everything(args, Mistake::kCopyWithoutWait); }
void bulk_copy_over_a_product(const void* args) { use_everything(args, Mistake::kCopyOverProduct); }
void peer_without_barrier(const void* args) { use_everything(args, Mistake::kPeerWithoutBarrier); }
void peer_reused_at_once(const void* args) { use_everything(args, Mistake::kPeerReused); }

}  // namespace elbeam::kernels::planted
