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
};

// Which kernel attends to tokens that lie together.
enum class AttentionUnit : std::uint8_t { kPortable, kTensor, kWarpgroup };

// How attention over rows of `width` numbers is launched.
struct AttentionPlan {
  AttentionUnit unit = AttentionUnit::kPortable;
  std::size_t geometry = 0;  // index of the unit's launcher
  int rows = 1;              // of queries, of a block
  int chunks = 1;            // of the columns
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

// In how many parts the keys of a sentence are attended to: more than one only where there are
// fewer blocks than multiprocessors, since parts are written, read and merged.
int plan_parts(int keys, std::int64_t blocks, const DeviceLimits& limits);

int row_shared_bytes(int dim, int threads);  // embed, norm
int vocabulary_shared_bytes(int wanted, int threads);
int sample_shared_bytes(int threads);
int beam_shared_bytes(int beam);
std::size_t list_index(int beam);  // which vocabulary and beam_step launcher

}  // namespace elbeam::kernels
