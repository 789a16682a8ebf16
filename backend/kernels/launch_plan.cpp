#include "kernels/launch_plan.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>

namespace elbeam::kernels {
namespace {

constexpr int kMaxTile = 32;
// A part is worth its merge from about so many keys on.
constexpr int kMinPartKeys = 64;

AttentionPlan choose_geometry(const AttentionShape& shape) {
  AttentionPlan plan;
  while (plan.geometry + 1 < kGeometries.size() &&
         kGeometries[plan.geometry].lanes * kGeometries[plan.geometry].elements < shape.width) {
    ++plan.geometry;
  }
  const GeometryShape& geometry = kGeometries[plan.geometry];
  const int columns = geometry.lanes * geometry.elements;
  plan.chunks = (shape.width + columns - 1) / columns;
  plan.rows = plan.warps = std::clamp(shape.query_rows, 1, attention_warps(geometry.elements));
  return plan;
}

int staged_bytes(const AttentionPlan& plan, const AttentionShape& shape) {
  const GeometryShape& geometry = kGeometries[plan.geometry];
  return staged_stride(geometry.lanes, geometry.elements, shape.width, shape.element_size) *
         shape.element_size * (shape.one_copy ? 1 : 2);
}

void check_tile(const AttentionPlan& plan, const AttentionShape& shape, int least,
                const DeviceLimits& limits) {
  ELBEAM_CHECK(plan.tile >= least, ErrorCode::kUnsupported, "attention over rows of ", shape.width,
               " numbers with ", shape.histories, " hypotheses: the device's ", limits.shared_bytes,
               " bytes of shared memory for each block do not hold ", least, " keys");
}

// EL-attention of enough rows, which tensor cores can do.
bool fits_tensor_cores(const AttentionShape& shape) {
  constexpr int kMinRows = 8;  // of the 16 that are computed
  return shape.one_copy && shape.element_size == 2 && shape.width % 8 == 0 &&
         shape.query_rows >= kMinRows && shape.width <= kTensorWidths.back();
}

// A portable plan where it cannot be.
AttentionPlan plan_warpgroup(const AttentionShape& shape, const DeviceLimits& limits) {
  AttentionPlan plan;
  if (!limits.warpgroups || !fits_tensor_cores(shape)) return plan;
  const auto width = static_cast<std::size_t>(
      std::lower_bound(kTensorWidths.begin(), kTensorWidths.end(), shape.width) -
      kTensorWidths.begin());
  std::size_t rows = 0;
  while (rows + 1 < kWarpgroupRows.size() && kWarpgroupRows[rows] < shape.query_rows) ++rows;
  plan.geometry = kWarpgroupRows.size() * width + rows;
  plan.rows = kWarpgroupRows[rows];
  plan.warps = 8;
  plan.tile = kWarpgroupKeys;
  const WarpgroupShape& blocks = kWarpgroupShapes[width];
  plan.cluster = blocks.cluster;
  plan.shared_bytes = warpgroup_shared_bytes(blocks.columns, plan.rows, blocks.cluster);
  if (plan.shared_bytes <= limits.all_shared_bytes) plan.unit = AttentionUnit::kWarpgroup;
  return plan;
}

// A portable plan where it cannot be.
AttentionPlan plan_tensor(const AttentionShape& shape, const DeviceLimits& limits) {
  AttentionPlan plan;
  if (!limits.tensor_cores || !fits_tensor_cores(shape)) return plan;
  const auto width = std::lower_bound(kTensorWidths.begin(), kTensorWidths.end(), shape.width);
  const int row_tiles = shape.query_rows > 16 ? 2 : 1;
  plan.geometry = 2 * static_cast<std::size_t>(width - kTensorWidths.begin()) +
                  static_cast<std::size_t>(row_tiles - 1);
  plan.rows = 16 * row_tiles;
  plan.warps = kTensorWarps;
  plan.tile = kTensorKeys;
  // The warps' scores and their sum, and queries of 4 bytes that registers have no room for.
  const int scores = (kTensorWarps + 1) * kTensorKeys * plan.rows +
                     tensor_far_steps(*width, row_tiles) * kTensorWarps * 8 * plan.rows;
  plan.shared_bytes = kTensorStages * kTensorKeys * (*width + 8) * shape.element_size +
                      scores * static_cast<int>(sizeof(float));
  if (plan.shared_bytes <= limits.all_shared_bytes) plan.unit = AttentionUnit::kTensor;
  return plan;
}

}  // namespace

AttentionPlan plan_contiguous(const AttentionShape& shape, const DeviceLimits& limits) {
  for (const auto plan_unit : {plan_warpgroup, plan_tensor}) {
    const AttentionPlan plan = plan_unit(shape, limits);
    if (plan.unit != AttentionUnit::kPortable) return plan;
  }
  AttentionPlan plan = choose_geometry(shape);
  const int key_bytes = 2 * staged_bytes(plan, shape);  // two stages
  plan.tile = std::min(kMaxTile, limits.shared_bytes / key_bytes);
  check_tile(plan, shape, 1, limits);
  plan.shared_bytes = plan.tile * key_bytes;
  return plan;
}

AttentionPlan plan_paged(const AttentionShape& shape, const DeviceLimits& limits) {
  AttentionPlan plan = choose_geometry(shape);
  constexpr int kEntryBytes = 8 + 4;  // where a slot comes from, and its entry of the map
  const int slot_bytes = staged_bytes(plan, shape) + kEntryBytes;
  const int histories = std::min(plan.warps, shape.histories);
  const int slots = (limits.shared_bytes - 16) / slot_bytes;
  plan.tile = std::min(slots / histories, kPageSteps) * histories;
  if (plan.tile == 0 && plan.warps > 1) {  // fewer rows at a time need fewer slots
    plan.rows = plan.warps = std::max(1, slots);
    plan.tile = std::min(slots, plan.warps);
  }
  check_tile(plan, shape, 1, limits);
  plan.shared_bytes = plan.tile * slot_bytes + 16;
  return plan;
}

std::int64_t plan_slice(const SliceShape& shape, const AttentionPlan& plan,
                        const DeviceLimits& limits) {
  // The other half is for the keys that pass through, and for weights.
  const std::int64_t room = limits.cache_bytes / 2;
  const std::int64_t groups = room / checked_mul(shape.group_rows, shape.row_bytes);
  if (groups * shape.group_rows >= shape.rows) return shape.rows;
  const std::int64_t row_blocks = (shape.group_rows * shape.query_rows + plan.rows - 1) / plan.rows;
  const std::int64_t wave =
      std::max<std::int64_t>(limits.multiprocessors / (row_blocks * plan.chunks * plan.cluster), 1);
  return groups < wave ? shape.rows : groups / wave * wave * shape.group_rows;
}

int plan_parts(int keys, std::int64_t blocks, const DeviceLimits& limits) {
  if (blocks >= limits.multiprocessors) return 1;
  const auto wanted = static_cast<int>(limits.multiprocessors / std::max<std::int64_t>(blocks, 1));
  return std::clamp(keys / kMinPartKeys, 1, wanted);
}

int row_shared_bytes(int dim, int threads) {
  return (dim + threads / 32) * static_cast<int>(sizeof(float));
}

int vocabulary_shared_bytes(int wanted, int threads) {
  return threads / 32 * (wanted * 8 + 2 * static_cast<int>(sizeof(float)));
}

int sample_shared_bytes(int threads) { return threads / 32 * 16 * static_cast<int>(sizeof(float)); }

int beam_shared_bytes(int beam) { return 9 * beam * static_cast<int>(sizeof(float)); }

std::size_t list_index(int beam) { return 2 * beam <= kListPlaces[0] * 32 ? 0 : 1; }

}  // namespace elbeam::kernels
