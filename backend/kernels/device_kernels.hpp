// The kernels of a device as a table of launchers: what runs a decode step wherever it runs.
//
// emulated_kernels() and cuda_kernels() fill the same table from the same bodies (kernels/core).
// A launcher starts a kernel and returns; errors of the device surface at the next
// synchronisation. Which sizes a kernel takes is the caller's to respect (args.hpp): the sizes of
// grids, blocks and shared memory come from launch_plan.hpp.
#pragma once

#include "kernels/core/args.hpp"
#include "kernels/core/search_args.hpp"

#include <array>

namespace elbeam::kernels {

template <typename Args>
using Launcher = void (*)(const Args&, const Launch&);

// How a row of attention is spread over a warp: lanes that share a key, and columns of each lane.
struct GeometryShape {
  int lanes;
  int elements;
  bool wide;
};
inline constexpr std::array<GeometryShape, 8> kGeometries = {{{4, 8, false},
                                                              {8, 8, false},
                                                              {16, 8, false},
                                                              {32, 8, false},
                                                              {32, 16, false},
                                                              {32, 24, false},
                                                              {32, 32, false},
                                                              {32, 32, true}}};
// Warps of a block, one for each row. Lanes with many columns need so many registers that 16 warps
// would spill.
constexpr int attention_warps(int elements) { return elements > 16 ? 12 : 16; }

// EL cross-attention by tensor cores: rows up to these widths, in blocks of 16 or 32 query rows;
// shared memory holds so many tiles of so many keys.
inline constexpr std::array<int, 4> kTensorWidths = {256, 512, 768, 1024};
inline constexpr int kTensorWarps = 8;
inline constexpr int kTensorKeys = 16;
inline constexpr int kTensorStages = 3;
// A warp takes its columns in steps of 16; the queries of so many steps lie in shared memory, where
// registers do not hold all.
constexpr int tensor_far_steps(int width, int row_tiles) {
  return width == kTensorWidths.back() && row_tiles == 2 ? 2 : 0;
}

// The same by sm_90's warpgroup products, rows up to the same widths: so many columns of a block,
// so many blocks of a cluster that share a row. A block has one of these numbers of query rows.
struct WarpgroupShape {
  int columns;
  int cluster;
};
inline constexpr std::array<WarpgroupShape, kTensorWidths.size()> kWarpgroupShapes = {
    {{256, 1}, {512, 1}, {384, 2}, {512, 2}}};
inline constexpr std::array<int, 3> kWarpgroupRows = {16, 32, 64};
inline constexpr int kWarpgroupKeys = 64;
constexpr int warpgroup_stages(int columns) { return columns > 384 ? 2 : 3; }
// Tiles, queries, weights of a tile, scores of the other block, and what its warps tell each other.
constexpr int warpgroup_shared_bytes(int columns, int rows, int cluster) {
  const int stages = warpgroup_stages(columns);
  return (stages * kWarpgroupKeys + rows) * columns * 2 + rows * kWarpgroupKeys * 2 +
         (cluster > 1 ? rows * kWarpgroupKeys * 4 : 0) + 5 * rows * 4 + 8 * (stages + 1);
}

// Beams up to 16, and up to kMaxDeviceBeam.
inline constexpr std::array<int, 2> kListPlaces = {1, 4};
inline constexpr int kMaxDeviceBeam = 64;

template <typename T>
struct DeviceKernels {
  Launcher<EmbedArgs<T>> embed;
  Launcher<NormArgs<T>> norm;
  Launcher<ActivationArgs<T>> activate;
  Launcher<StoreArgs<T>> store;
  std::array<Launcher<ContiguousArgs<T>>, kGeometries.size()> contiguous;
  std::array<Launcher<ContiguousArgs<T>>, kGeometries.size()> causal;
  std::array<Launcher<PagedArgs<T>>, kGeometries.size()> paged;
  std::array<Launcher<PagedArgs<T>>, kGeometries.size()> paged_part;
  // Width by width, first of 16 rows and then of 32; of float none.
  std::array<Launcher<ContiguousArgs<T>>, 2 * kTensorWidths.size()> tensor;
  // Width by width, with each number of rows; of float none.
  std::array<Launcher<ContiguousArgs<T>>, kWarpgroupRows.size() * kWarpgroupShapes.size()>
      warpgroup;
  Launcher<MergeArgs<T>> merge;
  Launcher<LogProbArgs<T>> log_prob;
  Launcher<SampleArgs<T>> sample;
  std::array<Launcher<VocabularyArgs<T>>, kListPlaces.size()> vocabulary;
};

struct SearchKernels {
  Launcher<NgramArgs> ban_ngrams;
  std::array<Launcher<BeamArgs>, kListPlaces.size()> beam_step;
  Launcher<CompactArgs> compact;
  Launcher<AdmitArgs> admit;
  Launcher<AdvanceArgs> advance;
};

template <typename T>
const DeviceKernels<T>& emulated_kernels();
const SearchKernels& emulated_search_kernels();

}  // namespace elbeam::kernels
