// Kernels with one mistake each, for the tracer to see; traced as the real ones are.
#pragma once

#include "kernels/core/tile_map.hpp"

#include <cstdint>

namespace elbeam::kernels {

struct PlantedArgs {
  const float* numbers = nullptr;
  float* out = nullptr;
  TileMap map{};  // 8 rows of 64 halves
};
using PlantedKernel = void (*)(const void*);

namespace planted {
void correct(const void* args);                       // of 64 threads, as all: none of the mistakes
void missing_block_barrier(const void* args);         // write, read by another warp
void missing_barrier_before_reuse(const void* args);  // read, write by another warp
void missing_warp_barrier(const void* args);          // within a warp
void shuffle_is_no_barrier(const void* args);         // within a warp, with a shuffle between
void write_by_all(const void* args);                  // two writes
void blocks_write(const void* args);                  // two blocks, the same bytes
void block_reads_what_another_writes(const void* args);
void copy_without_wait(const void* args);       // own bytes, before they are waited for
void wait_without_barrier(const void* args);    // another thread's
void copy_over_what_is_read(const void* args);  // started before others have read
void reads_uninitialised(const void* args);
void reads_beside(const void* args);  // one number before the array
// Of sm_90: 128 threads, the two blocks a cluster.
void correct_async(const void* args);
void product_without_fence(const void* args);     // of what was written before it
void bulk_copy_without_fence(const void* args);   // over what was written before it
void bulk_copy_without_wait(const void* args);    // by all threads: by all but one
void bulk_copy_over_a_product(const void* args);  // that is still under way
void peer_without_barrier(const void* args);      // of the cluster
void peer_reused_at_once(const void* args);       // before it has read
}  // namespace planted

}  // namespace elbeam::kernels
