// Grids, blocks and shared memory for the kernels of device_kernels.hpp. Pure.
#pragma once

#include "kernels/device_kernels.hpp"

#include <cstdint>

namespace elbeam::kernels {

// What a device gives a block, and how many blocks it wants to be busy.
struct DeviceLimits {
  int shared_bytes = 48 << 10;  // of one block, where two share a multiprocessor
  int multiprocessors = 1;
  int all_shared_bytes = 48 << 10;  // of a block that has a multiprocessor for itself
  bool tensor_cores = false;        // those of sm_80 and later
  bool warpgroups = false;          // what sm_90 alone has
  std::int64_t cache_bytes = 0;     // of the second level; 0: not known
};

// Which kernel attends to tokens that lie together.
enum class AttentionUnit : std::uint8_t { kPortable, kTensor, kWarpgroup };

// How attention over rows of `width` numbers is launched.
struct AttentionPlan {
  AttentionUnit unit = AttentionUnit::kPortable;
  std::size_t geometry = 0;  // index of the unit's launcher
  int rows = 1;              // of queries, of a block
  int chunks = 1;            // of the columns
  int cluster = 1;           // blocks that share a chunk
  int tile = 1;              // keys or slots that shared memory holds at once
  int warps = 1;
  int shared_bytes = 0;
};

// One group of rows, as the attention kernels see it.
struct AttentionShape {
  int width = 0;       // d for EL, d_k for multi-head
  int query_rows = 1;  // rows of the group times rows of queries for each
  int histories = 1;   // rows of the group: a tile of slots holds a step of each
  int element_size = 4;
  bool one_copy = true;  // values are the keys (EL)
};

// Throws Error(kUnsupported) for rows so wide that shared memory does not hold two keys.
AttentionPlan plan_contiguous(const AttentionShape& shape, const DeviceLimits& limits);
AttentionPlan plan_paged(const AttentionShape& shape, const DeviceLimits& limits);

// The launcher of a plan by plan_contiguous().
template <typename T>
Launcher<ContiguousArgs<T>> contiguous_launcher(const DeviceKernels<T>& kernels,
                                                const AttentionPlan& plan) {
  switch (plan.unit) {
    case AttentionUnit::kTensor:
      return kernels.tensor[plan.geometry];
    case AttentionUnit::kWarpgroup:
      return kernels.warpgroup[plan.geometry];
    case AttentionUnit::kPortable:
      break;
  }
  return kernels.contiguous[plan.geometry];
}

// EL-attention writes expanded queries, and reads pooled states, that are much larger than the rows
// they are made from and into.
struct SliceShape {
  std::int64_t rows = 0;        // of the batch
  std::int64_t group_rows = 1;  // rows that are not taken apart
  std::int64_t row_bytes = 0;   // of a row's expanded queries and pooled states
  std::int64_t query_rows = 1;  // of a row: heads
};
// Of how many rows they are computed at once, so that the second-level cache keeps them from the
// kernel that writes them to the one that reads them. A slice has a block for every multiprocessor,
// or whole multiples of that; where the cache does not hold so much, and where it holds everything,
// all rows are one slice.
std::int64_t plan_slice(const SliceShape& shape, const AttentionPlan& plan,
                        const DeviceLimits& limits);

// In how many parts the keys of a sentence are attended to: more than one only where there are
// fewer blocks than multiprocessors, since parts are written, read and merged.
int plan_parts(int keys, std::int64_t blocks, const DeviceLimits& limits);

int row_shared_bytes(int dim, int threads);  // embed, norm
int vocabulary_shared_bytes(int wanted, int threads);
int sample_shared_bytes(int threads);
int beam_shared_bytes(int beam);
std::size_t list_index(int beam);  // which vocabulary and beam_step launcher

}  // namespace elbeam::kernels
