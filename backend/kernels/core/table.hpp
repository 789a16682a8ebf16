// Fills the tables of device_kernels.hpp; start<Kernel> is the device's way to launch one.
#pragma once

#include "kernels/core/attention.hpp"
#include "kernels/core/beam.hpp"
#include "kernels/core/rows.hpp"
#include "kernels/core/tensor_attention.hpp"
#include "kernels/core/vocabulary.hpp"
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
  if constexpr (sizeof(T) == 2)
    add_tensor_kernels<T, Start>(table, std::make_index_sequence<2 * kTensorWidths.size()>());
  table.merge = Start<MergeParts<T>>::launch;
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
  table.advance = Start<Advance>::launch;
  return table;
}

}  // namespace elbeam::kernels
