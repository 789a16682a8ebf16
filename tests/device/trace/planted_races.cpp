#include "device/trace/planted_races.hpp"

#include "kernels/core/device.hpp"

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

}  // namespace elbeam::kernels::planted
