// EL cross-attention by sm_90's warpgroup products: one copy of the hidden states in shared memory,
// brought by bulk copies, serves both. The same results as ContiguousAttention, for Half and
// BFloat16, with values equal to keys and a width of whole vectors up to kColumns * kCluster.
//
// Products are transposed: 64 keys, then 64 columns, are the M of a product, so that its N can be
// any number of query rows: scores^T = H Q^T, results^T = H^T weights^T. A block has two
// warpgroups: each scores half of the query rows, and has half of the columns of the results. The
// blocks of a cluster have a part of the columns each and add each other's scores, so that every
// byte of H is read by one block.
#pragma once

#include "kernels/core/attention.hpp"
#include "kernels/core/tensor_core.hpp"
#include "kernels/core/warpgroup.hpp"

namespace elbeam::kernels {

template <typename T>
struct WarpgroupArgs {
  ContiguousArgs<T> plain;
  TileMap keys;     // in boxes of kWarpgroupKeys rows
  TileMap tail;     // of kTailRows
  TileMap queries;  // of the block's rows
};
inline constexpr int kTailRows = 8;

template <typename T, int kColumns, int kRows, int kCluster_>
struct WarpgroupAttention {
  using Args = WarpgroupArgs<T>;
  using Element = T;
  static constexpr const char* kName = "warpgroup_attention";
  static constexpr int kMaxThreads = 2 * 128;
  static constexpr int kMinBlocks = 1;
  static constexpr int kCluster = kCluster_;
  static constexpr int kQueryRows = kRows;
  static constexpr int kKeys = kWarpgroupKeys;
  static constexpr int kStages = warpgroup_stages(kColumns);
  static constexpr int kBoxes = kColumns / kBoxColumns;
  static constexpr int kTiles = kBoxes / 2;  // boxes whose results a warpgroup has
  static constexpr int kShare = kRows / 2;   // rows whose scores a warpgroup has
  static constexpr int kGroups = kShare / 8;
  static constexpr float kLog2E = 1.44269504F;
  static_assert(kShare % 8 == 0 && kBoxes % 2 == 0 && sizeof(T) == 2);

  static ELBEAM_DEVICE void run(const Args& args) {
#if defined(ELBEAM_WARPGROUPS)
    const ContiguousArgs<T>& plain = args.plain;
    const int place = block_x() / kCluster;
    const KeyRange range = plain.ranges[place / plain.row_blocks];
    const RowRange rows = rows_of(plain, range);
    const int count = rows.count * plain.query_rows;
    int first = place % plain.row_blocks * kRows;
    if (first >= count) return;  // the whole cluster
    Block block;
    block.start();
    for (; first < count; first += plain.row_blocks * kRows)
      block.attend(args, range, rows.first * plain.query_rows + first, count - first);
    if constexpr (kCluster > 1) cluster_wait();  // the other block has read its scores
#elif defined(__CUDACC__)
    static_cast<void>(args);
    asm volatile("trap;\n");  // never launched on such a device
#endif
  }

 private:
  // ---- shared memory ----------------------------------------------------------------------------
  static constexpr int kBoxBytes = kKeys * kBoxRowBytes;
  static constexpr int kStageBytes = kBoxes * kBoxBytes;
  static constexpr int kQueryBoxBytes = kRows * kBoxRowBytes;
  static constexpr int kQueryPlace = kStages * kStageBytes;
  static constexpr int kWeightPlace = kQueryPlace + kBoxes * kQueryBoxBytes;
  static constexpr int kPeerPlace = kWeightPlace + kRows * kKeys * 2;
  static constexpr int kMaximaPlace = kPeerPlace + (kCluster > 1 ? kRows * kKeys * 4 : 0);
  static constexpr int kCorrectionPlace = kMaximaPlace + 4 * kRows * 4;
  static constexpr int kBarrierPlace = kCorrectionPlace + kRows * 4;
  static_assert(kBarrierPlace + 8 * (kStages + 1) ==
                warpgroup_shared_bytes(kColumns, kRows, kCluster));

  static ELBEAM_DEVICE unsigned char* stage_at(int stage) {
    return shared_memory() + stage * kStageBytes;
  }
  // Of the tile in that stage; the last is that of the queries.
  static ELBEAM_DEVICE unsigned char* barrier_at(int stage) {
    return shared_memory() + kBarrierPlace + 8 * stage;
  }
  // [warp of its group][query row]
  static ELBEAM_DEVICE float* maxima(int warp) {
    return reinterpret_cast<float*>(shared_memory() + kMaximaPlace) + warp * kRows;
  }
  static ELBEAM_DEVICE float* corrections() {
    return reinterpret_cast<float*>(shared_memory() + kCorrectionPlace);
  }
  // Eight query rows by eight keys lie together: what a warp writes at once.
  static constexpr int kWeightBytes = 128;
  static constexpr int kWeightGroupBytes = kKeys / 8 * kWeightBytes;

  static ELBEAM_DEVICE int group_index() { return warp_index() / 4; }
  static ELBEAM_DEVICE int warp_of_group() { return warp_index() % 4; }
  static ELBEAM_DEVICE int first_column() { return (kCluster > 1 ? cluster_rank() : 0) * kColumns; }

  // Where the next tile lies, and the parity of its barrier's phase.
  struct Ring {
    int stage = 0;
    int parity = 0;
    ELBEAM_DEVICE void advance() {
      if (++stage < kStages) return;
      stage = 0;
      parity ^= 1;
    }
  };

  struct Block {
    float sums[kTiles][kRows / 2];
    // Of the lane's rows 8 g + lane % 4 * 2 + c of the warpgroup's; totals are of its own keys.
    float maximum[kGroups][2];
    float total[kGroups][2];
    Ring ring;
    // group_index(), but what is computed from it is the same for the whole warp to the compiler:
    // it then lies in uniform registers, where products want their descriptors.
    int group;
    int loading;  // stage of the next tile to come, of the thread that lets it come
    int query_parity;

    ELBEAM_DEVICE void start() {
      if (thread_index() == 0) {
        ELBEAM_UNROLL
        for (int s = 0; s <= kStages; ++s) start_bulk_barrier(barrier_at(s), 1);
        fence_async();
      }
      group = shuffle(group_index(), 0);
      loading = 0;
      query_parity = 0;
      block_barrier();
      if constexpr (kCluster > 1) cluster_arrive();
    }

    // Query rows first_row, first_row + 1, ... of which `rows` exist.
    ELBEAM_DEVICE void attend(const Args& args, const KeyRange& range, int first_row, int rows) {
      if (thread_index() == 0) load_first(args, range, first_row);
      warp_barrier();
      clear();
      wait_bulk(barrier_at(kStages), query_parity);
      query_parity ^= 1;
      ELBEAM_NO_UNROLL
      for (int key = 0; key < range.keys; key += kKeys) {
        const int left = range.keys - key;
        wait_bulk(barrier_at(ring.stage), ring.parity);
        warp_barrier();
        if (left < kKeys) clear_tail(left);
        weigh(args.plain.scale, left);
        pool();
        block_barrier();  // neither tile nor weights are read any more
        const int next = key + kStages * kKeys;
        if (thread_index() == 0 && next < range.keys) load_tile(args, range, next);
        warp_barrier();
        ring.advance();
      }
      finish(args.plain, range, first_row, rows);
    }

    // ---- one thread lets everything come -------------------------------------------------------

    ELBEAM_DEVICE void load_first(const Args& args, const KeyRange& range, int first_row) {
      unsigned char* barrier = barrier_at(kStages);
      expect_bytes(barrier, kBoxes * kQueryBoxBytes);
      for (int b = 0; b < kBoxes; ++b)
        copy_box(shared_memory() + kQueryPlace + b * kQueryBoxBytes, args.queries,
                 first_column() + b * kBoxColumns, first_row, barrier);
      for (int s = 0; s < kStages && s * kKeys < range.keys; ++s) load_tile(args, range, s * kKeys);
    }

    // Not more than a few keys of the next sentence come with the last tile.
    ELBEAM_DEVICE void load_tile(const Args& args, const KeyRange& range, int key) {
      unsigned char* to = stage_at(loading);
      unsigned char* barrier = barrier_at(loading);
      const int row = range.first_key + key;
      const int left = range.keys - key;
      if (left >= kKeys) {
        expect_bytes(barrier, kStageBytes);
        for (int b = 0; b < kBoxes; ++b)
          copy_box(to + b * kBoxBytes, args.keys, first_column() + b * kBoxColumns, row, barrier);
      } else {
        const int parts = (left + kTailRows - 1) / kTailRows;
        expect_bytes(barrier, kBoxes * parts * kTailRows * kBoxRowBytes);
        for (int b = 0; b < kBoxes; ++b) {
          for (int p = 0; p < parts; ++p)
            copy_box(to + b * kBoxBytes + p * kTailRows * kBoxRowBytes, args.tail,
                     first_column() + b * kBoxColumns, row + p * kTailRows, barrier);
        }
      }
      loading = loading + 1 == kStages ? 0 : loading + 1;
    }

    // ---- scores ---------------------------------------------------------------------------------

    ELBEAM_DEVICE void clear() {
      ELBEAM_UNROLL
      for (int m = 0; m < kTiles; ++m) {
        ELBEAM_UNROLL
        for (int i = 0; i < kRows / 2; ++i) sums[m][i] = 0.0F;
      }
      ELBEAM_UNROLL
      for (int g = 0; g < kGroups; ++g) {
        maximum[g][0] = maximum[g][1] = negative_infinity();
        total[g][0] = total[g][1] = 0.0F;
      }
    }

    // Zeros behind the keys: their weights are 0, and 0 times what is there may be NaN.
    ELBEAM_DEVICE void clear_tail(int keys) {
      constexpr int kVectors = kBoxRowBytes / 16;
      const int vectors = (kKeys - keys) * kVectors;
      ELBEAM_NO_UNROLL
      for (int b = 0; b < kBoxes; ++b) {
        unsigned char* to = stage_at(ring.stage) + b * kBoxBytes + keys * kBoxRowBytes;
        for (int v = thread_index(); v < vectors; v += kMaxThreads)
          store_128(to + 16 * v, Bits128{{0, 0, 0, 0}});
      }
      fence_async();
      block_barrier();
    }

    // Of the tile's keys warp_of_group() * 16 + lane / 4 and 8 behind it, with the lane's rows.
    ELBEAM_DEVICE void score(float (&scores)[kShare / 2]) {
      const std::uint64_t keys = describe(shared_address(stage_at(ring.stage)), kBoxLayout);
      const std::uint64_t queries =
          describe(shared_address(shared_memory() + kQueryPlace + group * kShare * kBoxRowBytes),
                   kBoxLayout);
      begin_products();
      ELBEAM_UNROLL
      for (int b = 0; b < kBoxes; ++b) {
        ELBEAM_UNROLL
        for (int k = 0; k < kBoxColumns / 16; ++k)
          multiply_tiles<T, kShare, false, false>(scores, bytes_on(keys, b * kBoxBytes + k * 32),
                                                  bytes_on(queries, b * kQueryBoxBytes + k * 32));
      }
      commit_products();
      wait_products<0>();
      changed_by_products(scores);
      if constexpr (kCluster > 1) add_peer(scores);
    }

    // The other block has the same rows and keys, and other columns.
    static ELBEAM_DEVICE void add_peer(float (&scores)[kShare / 2]) {
      auto* slots = reinterpret_cast<float*>(shared_memory() + kPeerPlace) + 4 * thread_index();
      cluster_wait();  // it has read what was here
      ELBEAM_UNROLL
      for (int v = 0; v < kShare / 8; ++v)
        store_to_peer(slots + 4 * kMaxThreads * v,
                      Bits128{{float_bits(scores[4 * v]), float_bits(scores[4 * v + 1]),
                               float_bits(scores[4 * v + 2]), float_bits(scores[4 * v + 3])}});
      cluster_arrive();
      cluster_wait();
      ELBEAM_UNROLL
      for (int v = 0; v < kShare / 8; ++v) {
        float four[4];
        load_vector(slots + 4 * kMaxThreads * v, four);
        ELBEAM_UNROLL
        for (int i = 0; i < 4; ++i) scores[4 * v + i] += four[i];
      }
      cluster_arrive();
    }

    // ---- weights --------------------------------------------------------------------------------

    // Over the lanes that have the same rows.
    static ELBEAM_DEVICE float rows_max(float value) {
      ELBEAM_UNROLL
      for (int bits = 4; bits < kWarp; bits *= 2) value = fmaxf(value, shuffle_xor(value, bits));
      return value;
    }
    static ELBEAM_DEVICE float rows_sum(float value) {
      ELBEAM_UNROLL
      for (int bits = 4; bits < kWarp; bits *= 2) value += shuffle_xor(value, bits);
      return value;
    }
    static ELBEAM_DEVICE int row_of(int g, int c) {
      return group_index() * kShare + 8 * g + lane_index() % 4 * 2 + c;
    }

    // Softmax of a tile's scores, of which `keys` count; powers of two throughout.
    ELBEAM_DEVICE void weigh(float scale, int keys) {
      float scores[kShare / 2] = {};
      score(scores);
      const float factor = scale * kLog2E;
      const int key = warp_of_group() * 16 + lane_index() / 4;
      ELBEAM_UNROLL
      for (int i = 0; i < kShare / 2; ++i) {
        scores[i] *= factor;
        if (key + i / 2 % 2 * 8 >= keys) scores[i] = negative_infinity();
      }
      ELBEAM_UNROLL
      for (int g = 0; g < kGroups; ++g) {
        ELBEAM_UNROLL
        for (int c = 0; c < 2; ++c) {
          const float best = rows_max(fmaxf(scores[4 * g + c], scores[4 * g + 2 + c]));
          if (lane_index() < 4) maxima(warp_of_group())[row_of(g, c)] = best;
        }
      }
      block_barrier();
      ELBEAM_UNROLL
      for (int g = 0; g < kGroups; ++g) weigh_group(scores, g);
      fence_async();
      block_barrier();
      correct();
    }

    ELBEAM_DEVICE void weigh_group(const float (&scores)[kShare / 2], int g) {
      float weights[2][2];  // [key][row]
      ELBEAM_UNROLL
      for (int c = 0; c < 2; ++c) {
        const int row = row_of(g, c);
        float best = maximum[g][c];
        ELBEAM_UNROLL
        for (int w = 0; w < 4; ++w) best = fmaxf(best, maxima(w)[row]);
        const float shift = best == negative_infinity() ? 0.0F : best;
        const float correction = power_of_two(maximum[g][c] - shift);
        maximum[g][c] = best;
        total[g][c] *= correction;
        if (warp_of_group() == 0 && lane_index() < 4) corrections()[row] = correction;
        weights[0][c] = power_of_two(scores[4 * g + c] - shift);
        weights[1][c] = power_of_two(scores[4 * g + 2 + c] - shift);
      }
      unsigned char* to = shared_memory() + kWeightPlace +
                          (group_index() * kGroups + g) * kWeightGroupBytes + lane_index() * 4;
      ELBEAM_UNROLL
      for (int k = 0; k < 2; ++k) {
        const std::uint32_t pair = pack_pair<T>(weights[k][0], weights[k][1]);
        *reinterpret_cast<std::uint32_t*>(to + (2 * warp_of_group() + k) * kWeightBytes) = pair;
        // As rounded: what the results are divided by.
        total[g][0] += to_float(T{static_cast<std::uint16_t>(pair & 0xffffU)});
        total[g][1] += to_float(T{static_cast<std::uint16_t>(pair >> 16)});
      }
    }

    // Sums so far, to the new maxima.
    ELBEAM_DEVICE void correct() {
      float factors[kRows / 4];
      bool any = false;
      ELBEAM_UNROLL
      for (int i = 0; i < kRows / 4; ++i) {
        factors[i] = corrections()[i / 2 * 8 + lane_index() % 4 * 2 + i % 2];
        any = any || factors[i] != 1.0F;
      }
      if (ballot(any) == 0) return;
      ELBEAM_UNROLL
      for (int m = 0; m < kTiles; ++m) {
        ELBEAM_UNROLL
        for (int i = 0; i < kRows / 2; ++i) sums[m][i] *= factors[i / 4 * 2 + i % 2];
      }
    }

    // ---- results --------------------------------------------------------------------------------

    // sums += this warpgroup's columns of the tile, transposed, times the weights.
    ELBEAM_DEVICE void pool() {
      const std::uint64_t values =
          describe(shared_address(stage_at(ring.stage) + group * kTiles * kBoxBytes), kBoxLayout);
      const std::uint64_t weights = describe(shared_address(shared_memory() + kWeightPlace),
                                             plain_layout(kWeightGroupBytes, kWeightBytes));
      begin_products();
      ELBEAM_UNROLL
      for (int m = 0; m < kTiles; ++m) {
        ELBEAM_UNROLL
        for (int k = 0; k < kKeys / 16; ++k)
          multiply_tiles<T, kRows, true, true>(
              sums[m], bytes_on(values, m * kBoxBytes + k * 16 * kBoxRowBytes),
              bytes_on(weights, k * 2 * kWeightBytes));
      }
      commit_products();
      wait_products<0>();
      ELBEAM_UNROLL
      for (int m = 0; m < kTiles; ++m) changed_by_products(sums[m]);
    }

    ELBEAM_DEVICE void finish(const ContiguousArgs<T>& args, const KeyRange& range, int first_row,
                              int rows) {
      ELBEAM_UNROLL
      for (int g = 0; g < kGroups; ++g) {
        ELBEAM_UNROLL
        for (int c = 0; c < 2; ++c) {
          const float part = rows_sum(total[g][c]);
          if (lane_index() < 4) maxima(warp_of_group())[row_of(g, c)] = part;
        }
      }
      block_barrier();
      if (range.parts > 1) put_stats(args, range, first_row, rows);
      ELBEAM_UNROLL
      for (int i = 0; i < kRows / 4; ++i) {
        const int row = i / 2 * 8 + lane_index() % 4 * 2 + i % 2;
        if (row < rows) put_row(args, range, i, std::int64_t{first_row} + row, whole_of(row));
      }
      block_barrier();  // totals and queries are no longer read
    }

    static ELBEAM_DEVICE float whole_of(int row) {
      return maxima(0)[row] + maxima(1)[row] + maxima(2)[row] + maxima(3)[row];
    }

    // Merged by the natural exponential function.
    ELBEAM_DEVICE void put_stats(const ContiguousArgs<T>& args, const KeyRange& range,
                                 int first_row, int rows) const {
      if (first_column() > 0 || warp_of_group() != 0 || lane_index() >= 4) return;
      ELBEAM_UNROLL
      for (int g = 0; g < kGroups; ++g) {
        ELBEAM_UNROLL
        for (int c = 0; c < 2; ++c) {
          const int row = row_of(g, c);
          if (row >= rows) continue;
          const std::int64_t place = range.part * args.partial_rows + first_row + row;
          args.partial_stats[2 * place] = maximum[g][c] / kLog2E;
          args.partial_stats[2 * place + 1] = whole_of(row);
        }
      }
    }

    // The lane's columns of row i of its kRows / 4.
    ELBEAM_DEVICE void put_row(const ContiguousArgs<T>& args, const KeyRange& range, int i,
                               std::int64_t row, float whole) const {
      const int column = first_column() + group_index() * kTiles * kBoxColumns +
                         warp_of_group() * 16 + lane_index() / 4;
      ELBEAM_UNROLL
      for (int m = 0; m < kTiles; ++m) {
        ELBEAM_UNROLL
        for (int half = 0; half < 2; ++half) {
          const int c = column + m * kBoxColumns + 8 * half;
          if (c >= args.width) continue;
          const float sum = sums[m][i / 2 * 4 + 2 * half + i % 2];
          if (range.parts > 1) {
            args.partial[(range.part * args.partial_rows + row) * args.width + c] = sum;
          } else {
            args.out[row * args.out_stride + c] = from_float<T>(sum / whole);
          }
        }
      }
    }
  };
};

}  // namespace elbeam::kernels
