// Fills the tables of device_kernels.hpp; start<Kernel> is the device's way to launch one.
#pragma once

#include "kernels/core/attention.hpp"
#include "kernels/core/beam.hpp"
#include "kernels/core/rows.hpp"
#include "kernels/core/sample.hpp"
#include "kernels/core/tensor_attention.hpp"
#include "kernels/core/vocabulary.hpp"
#include "kernels/core/warpgroup_attention.hpp"
#include "kernels/device_kernels.hpp"

#include <cstddef>
#include <utility>

namespace elbeam::kernels {

template <typename T, std::size_t kIndex>
using GeometryAt =
    Geometry<T, kGeometries[kIndex].lanes, kGeometries[kIndex].elements, kGeometries[kIndex].wide>;

template <typename T, template <typename> class Start, std::size_t... kIndex>
void add_tensor_kernels(DeviceKernels<T>& table, std::index_sequence<kIndex...>) {
  table.tensor = {Start<TensorAttention<T, kTensorWidths[kIndex / 2], kIndex % 2 + 1>>::launch...};
}

// Start::tile_map is the device's way to make a map.
template <typename Kernel, template <typename> class Start>
void launch_warpgroups(const ContiguousArgs<typename Kernel::Element>& args, const Launch& how) {
  using T = typename Kernel::Element;
  const auto map = [&](const T* first, std::int64_t rows, std::int64_t stride, int box_rows) {
    return Start<Kernel>::tile_map(
        {first, args.width, rows, stride * static_cast<std::int64_t>(sizeof(T)), box_rows});
  };
  WarpgroupArgs<T> all;
  all.plain = args;
  all.keys = map(args.keys, args.key_rows, args.key_stride, kWarpgroupKeys);
  all.tail = map(args.keys, args.key_rows, args.key_stride, kTailRows);
  all.queries = map(args.queries, args.partial_rows, args.query_stride, Kernel::kQueryRows);
  Launch pairs = how;
  pairs.cluster = Kernel::kCluster;
  pairs.grid_x *= pairs.cluster;
  Start<Kernel>::launch(all, pairs);
}

template <typename T, std::size_t kIndex>
using WarpgroupAttentionAt =
    WarpgroupAttention<T, kWarpgroupShapes[kIndex / kWarpgroupRows.size()].columns,
                       kWarpgroupRows[kIndex % kWarpgroupRows.size()],
                       kWarpgroupShapes[kIndex / kWarpgroupRows.size()].cluster>;

template <typename T, template <typename> class Start, std::size_t... kIndex>
void add_warpgroup_kernels(DeviceKernels<T>& table, std::index_sequence<kIndex...>) {
  table.warpgroup = {launch_warpgroups<WarpgroupAttentionAt<T, kIndex>, Start>...};
}

template <typename T, template <typename> class Start, std::size_t... kIndex>
DeviceKernels<T> make_kernels(std::index_sequence<kIndex...>) {
  DeviceKernels<T> table{};
  table.embed = Start<Embed<T>>::launch;
  table.norm = Start<Norm<T>>::launch;
  table.activate = Start<Activate<T>>::launch;
  table.store = Start<StoreSlots<T>>::launch;
  table.contiguous = {Start<ContiguousAttention<GeometryAt<T, kIndex>>>::launch...};
  table.causal = {Start<CausalAttention<GeometryAt<T, kIndex>>>::launch...};
  table.paged = {Start<PagedAttention<GeometryAt<T, kIndex>>>::launch...};
  table.paged_part = {Start<PagedPart<GeometryAt<T, kIndex>>>::launch...};
  if constexpr (sizeof(T) == 2) {
    add_tensor_kernels<T, Start>(table, std::make_index_sequence<2 * kTensorWidths.size()>());
    add_warpgroup_kernels<T, Start>(
        table, std::make_index_sequence<kWarpgroupRows.size() * kWarpgroupShapes.size()>());
  }
  table.merge = Start<MergeParts<T>>::launch;
  table.sample = Start<Sample<T>>::launch;
  table.log_prob = Start<LogProb<T>>::launch;
  table.vocabulary = {Start<Vocabulary<T, kListPlaces[0]>>::launch,
                      Start<Vocabulary<T, kListPlaces[1]>>::launch};
  return table;
}

template <typename T, template <typename> class Start>
DeviceKernels<T> make_kernels() {
  return make_kernels<T, Start>(std::make_index_sequence<kGeometries.size()>());
}

template <template <typename> class Start>
SearchKernels make_search_kernels() {
  SearchKernels table{};
  table.ban_ngrams = Start<BanRepeatedNgrams>::launch;
  table.beam_step = {Start<BeamStep<kListPlaces[0]>>::launch,
                     Start<BeamStep<kListPlaces[1]>>::launch};
  table.compact = Start<Compact>::launch;
  table.admit = Start<Admit>::launch;
  table.advance = Start<Advance>::launch;
  return table;
}

}  // namespace elbeam::kernels
