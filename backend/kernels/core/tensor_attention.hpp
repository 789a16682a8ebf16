// EL cross-attention by tensor cores: one copy of the hidden states in shared memory serves both
// products. The same arguments and results as ContiguousAttention, for Half and BFloat16, with
// values equal to keys and a width of whole vectors up to kWidth.
//
// A block has kRows query rows. Each of its 8 warps owns an eighth of the columns: as the part of
// the sum that its scores are of, and as the columns of its results; so no number of a tile is read
// by two warps. Scores are summed over the warps in shared memory.
#pragma once

#include "kernels/core/attention.hpp"
#include "kernels/core/tensor_core.hpp"

namespace elbeam::kernels {

template <typename T, int kWidth, int kRowTiles>
struct TensorAttention {
  using Args = ContiguousArgs<T>;
  static constexpr const char* kName = "tensor_attention";
  static constexpr int kWarps = kTensorWarps;
  static constexpr int kMaxThreads = kWarp * kWarps;
  static constexpr int kMinBlocks = 1;
  static constexpr int kRows = 16 * kRowTiles;
  static constexpr int kSlice = kWidth / kWarps;  // columns of a warp
  static constexpr int kSteps = kSlice / 16;
  static constexpr int kFarSteps = tensor_far_steps(kWidth, kRowTiles);
  static constexpr int kNearSteps = kSteps - kFarSteps;
  static constexpr int kStride = kWidth + 8;  // rows lie in different banks
  static constexpr float kLog2E = 1.44269504F;
  static_assert(kSlice % 16 == 0 && sizeof(T) == 2);

  static ELBEAM_DEVICE void run(const Args& args) {
    const int blocks = args.row_blocks;
    const RowRange rows = rows_of(args, args.ranges[range_index(args)]);
    const int count = rows.count * args.query_rows;
    for (int first = block_x() % blocks * kRows; first < count; first += blocks * kRows) {
      Block block;
      block.first = first;
      block.attend(args);
    }
  }

 private:
  static ELBEAM_DEVICE int range_index(const Args& args) { return block_x() / args.row_blocks; }

  // Query rows of the block: `first` is among those of the sentence. What registers have no room
  // for in the loop is looked up again after it.
  struct Rows {
    std::int64_t first;
    int count;
    ELBEAM_DEVICE Rows(const Args& args, const KeyRange& range, int first_of_block) {
      const RowRange all = rows_of(args, range);
      first = static_cast<std::int64_t>(all.first) * args.query_rows + first_of_block;
      count = all.count * args.query_rows - first_of_block;
    }
  };

  struct Block {
    int first;
    std::uint32_t query[kRowTiles][kNearSteps][4];
    float sums[kRowTiles][2 * kSteps][4];
    // Of rows lane / 4 and lane / 4 + 8 of each tile; totals are of the lane's own keys.
    float maximum[kRowTiles][2];
    float total[kRowTiles][2];
    const T* source;  // the lane's first column of this warp's first key of the next tile to come

    ELBEAM_DEVICE void attend(const Args& args) {
      int left = begin(args);
      block_barrier();  // the tiles of the rows before are no longer read
      ELBEAM_UNROLL
      for (int s = 0; s + 1 < kTensorStages; ++s) stage(args, s, left - s * kTensorKeys);
      int now = 0;  // where the tile lies, and the one before, whose place is free
      int before = kTensorStages - 1;
      ELBEAM_NO_UNROLL
      for (; left > 0; left -= kTensorKeys) {
        wait_copies<kTensorStages - 2>();
        block_barrier();  // the tile has arrived, and the one before is no longer read
        stage(args, before, left - (kTensorStages - 1) * kTensorKeys);
        const T* tile = tile_at(now);
        std::uint32_t weights[kRowTiles][4];
        score(tile);
        weigh(args.scale, left, weights);
        pool(tile, weights);
        before = now;
        now = now + 1 == kTensorStages ? 0 : now + 1;
      }
      finish(args);  // what is left to wait for are groups without copies
    }

    // Returns the number of keys.
    ELBEAM_DEVICE int begin(const Args& args) {
      const KeyRange range = args.ranges[range_index(args)];
      start(args, Rows(args, range, first));
      source = args.keys + (std::int64_t{range.first_key} + warp_index()) * args.key_stride +
               lane_index() * kVector<T>;
      return range.keys;
    }

    ELBEAM_DEVICE void start(const Args& args, const Rows& rows) {
      ELBEAM_UNROLL
      for (int m = 0; m < kRowTiles; ++m) {
        ELBEAM_UNROLL
        for (int s = 0; s < kSteps; ++s) {
          std::uint32_t four[4];
          load_query(args, rows, m, s, four);
          if (s >= kNearSteps) {
            store_128(far_query(m, s), Bits128{{four[0], four[1], four[2], four[3]}});
            continue;
          }
          ELBEAM_UNROLL
          for (int r = 0; r < 4; ++r) query[m][s < kNearSteps ? s : 0][r] = four[r];
        }
        ELBEAM_UNROLL
        for (int n = 0; n < 2 * kSteps; ++n) {
          ELBEAM_UNROLL
          for (int c = 0; c < 4; ++c) sums[m][n][c] = 0.0F;
        }
        maximum[m][0] = maximum[m][1] = negative_infinity();
        total[m][0] = total[m][1] = 0.0F;
      }
    }

    // A lane's part of A: rows lane / 4 and 8 below it, columns 2 (lane % 4) and 8 beside them.
    static ELBEAM_DEVICE void load_query(const Args& args, const Rows& rows, int m, int s,
                                         std::uint32_t (&four)[4]) {
      ELBEAM_UNROLL
      for (int r = 0; r < 4; ++r) {
        const int row = 16 * m + lane_index() / 4 + r % 2 * 8;
        const int column = warp_index() * kSlice + 16 * s + lane_index() % 4 * 2 + r / 2 * 8;
        four[r] = row < rows.count && column < args.width
                      ? load_pair(args.queries + (rows.first + row) * args.query_stride + column)
                      : 0;
      }
    }

    // Where a lane keeps its part of a far step.
    static ELBEAM_DEVICE float* far_query(int m, int s) {
      const int step = warp_index() * kFarSteps + s - kNearSteps;
      return scores_at((kWarps + 1) * kPlaces + step * kRowTiles + m, lane_index());
    }

    static ELBEAM_DEVICE std::uint32_t load_pair(const T* from) {
      return static_cast<std::uint32_t>(from[0].bits) | static_cast<std::uint32_t>(from[1].bits)
                                                            << 16;
    }

    static ELBEAM_DEVICE T* tile_at(int place) {
      return reinterpret_cast<T*>(shared_memory()) + place * kTensorKeys * kStride;
    }

    // The next tile, which begins so many keys before the end, with zeros where there are no keys
    // or columns: their weights are 0, and 0 times what was there before may be NaN. Commits a
    // group in any case, so that waits count alike. A warp has two keys, of which a lane takes
    // vectors that lie a warp apart.
    ELBEAM_DEVICE void stage(const Args& args, int place, int keys) {
      static_assert(kTensorKeys == 2 * kWarps);
      if (keys > 0) {
        const int column = lane_index() * kVector<T>;
        T* to = tile_at(place) + warp_index() * kStride + column;
        ELBEAM_UNROLL
        for (int k = 0; k < 2; ++k) {
          const T* from = source + k * kWarps * args.key_stride;
          const int columns = warp_index() + k * kWarps < keys ? args.width - column : 0;
          ELBEAM_UNROLL
          for (int c = 0; c < kWidth; c += kWarp * kVector<T>)
            copy_or_clear_async(to + k * kWarps * kStride + c, from + c, c < columns);
        }
        source += kTensorKeys * args.key_stride;
      }
      commit_copies();
    }

    // Where warps leave their scores, [warp][row tile][key half][lane] vectors of 4, and their sum.
    static ELBEAM_DEVICE float* scores_at(int place, int lane) {
      auto* all = reinterpret_cast<float*>(shared_memory() + kTensorStages * kTensorKeys * kStride *
                                                                 static_cast<int>(sizeof(T)));
      return all + (place * kWarp + lane) * 4;
    }
    static constexpr int kPlaces = 2 * kRowTiles;  // of a warp

    ELBEAM_DEVICE void get_query(int m, int s, std::uint32_t (&part)[4]) const {
      Bits128 far = {};
      if (s >= kNearSteps) far = load_128(far_query(m, s));
      ELBEAM_UNROLL
      for (int r = 0; r < 4; ++r)
        part[r] = s < kNearSteps ? query[m][s < kNearSteps ? s : 0][r] : far.word[r];
    }

    // This warp's share of the scores, and their sum over the warps.
    ELBEAM_DEVICE void score(const T* tile) {
      float scores[kRowTiles][2][4] = {};
      const int matrix = lane_index() / 8;
      const T* row = tile + (matrix / 2 * 8 + lane_index() % 8) * kStride + warp_index() * kSlice +
                     matrix % 2 * 8;
      ELBEAM_UNROLL
      for (int s = 0; s < kSteps; ++s) {
        std::uint32_t keys[4];
        load_matrices<false>(keys, row + 16 * s);
        ELBEAM_UNROLL
        for (int m = 0; m < kRowTiles; ++m) {
          std::uint32_t part[4];
          get_query(m, s, part);
          multiply_fragments<T>(scores[m][0], part, keys[0], keys[1]);
          multiply_fragments<T>(scores[m][1], part, keys[2], keys[3]);
        }
      }
      ELBEAM_UNROLL
      for (int p = 0; p < kPlaces; ++p) {
        const float(&four)[4] = scores[p / 2][p % 2];
        store_128(scores_at(warp_index() * kPlaces + p, lane_index()),
                  Bits128{{float_bits(four[0]), float_bits(four[1]), float_bits(four[2]),
                           float_bits(four[3])}});
      }
      block_barrier();
      if (warp_index() < kPlaces) {
        float sum[4] = {};
        ELBEAM_UNROLL
        for (int w = 0; w < kWarps; ++w) {
          float four[4];
          load_vector(scores_at(w * kPlaces + warp_index(), lane_index()), four);
          ELBEAM_UNROLL
          for (int c = 0; c < 4; ++c) sum[c] += four[c];
        }
        store_128(scores_at(kWarps * kPlaces + warp_index(), lane_index()),
                  Bits128{{float_bits(sum[0]), float_bits(sum[1]), float_bits(sum[2]),
                           float_bits(sum[3])}});
      }
      block_barrier();
    }

    // Softmax of a tile's scores, of which `keys` count, the same in every warp; sums are corrected
    // to the new maximum. The places of a score in C are those of its weight in A.
    ELBEAM_DEVICE void weigh(float scale, int keys, std::uint32_t (&weights)[kRowTiles][4]) {
      ELBEAM_UNROLL
      for (int m = 0; m < kRowTiles; ++m) {
        float scores[2][4];
        ELBEAM_UNROLL
        for (int half = 0; half < 2; ++half) {
          load_vector(scores_at(kWarps * kPlaces + 2 * m + half, lane_index()), scores[half]);
          ELBEAM_UNROLL
          for (int c = 0; c < 4; ++c) scores[half][c] *= scale;
        }
        if (keys < kTensorKeys) hide(scores, keys);
        float correction[2];
        ELBEAM_UNROLL
        for (int r = 0; r < 2; ++r) {
          float best = fmaxf(fmaxf(scores[0][2 * r], scores[0][2 * r + 1]),
                             fmaxf(scores[1][2 * r], scores[1][2 * r + 1]));
          best = fmaxf(maximum[m][r], lanes_max<4>(best));
          const float shift = best == negative_infinity() ? 0.0F : best;
          correction[r] = power_of_two(kLog2E * (maximum[m][r] - shift));
          maximum[m][r] = best;
          float sum = 0.0F;
          ELBEAM_UNROLL
          for (int half = 0; half < 2; ++half) {
            const std::uint32_t pair =
                pack_pair<T>(power_of_two(kLog2E * (scores[half][2 * r] - shift)),
                             power_of_two(kLog2E * (scores[half][2 * r + 1] - shift)));
            weights[m][2 * half + r] = pair;
            sum += pair_sum<T>(pair);  // as rounded: what the results are divided by
          }
          total[m][r] = total[m][r] * correction[r] + sum;
        }
        if (ballot(correction[0] != 1.0F || correction[1] != 1.0F) == 0) continue;
        ELBEAM_UNROLL
        for (int n = 0; n < 2 * kSteps; ++n) {
          ELBEAM_UNROLL
          for (int c = 0; c < 4; ++c) sums[m][n][c] *= correction[c / 2];
        }
      }
    }

    // Of the last tile, which is not full.
    static ELBEAM_DEVICE void hide(float (&scores)[2][4], int keys) {
      ELBEAM_UNROLL
      for (int i = 0; i < 8; ++i) {
        const int key = 8 * (i / 4) + lane_index() % 4 * 2 + i % 2;
        if (key >= keys) scores[i / 4][i % 4] = negative_infinity();
      }
    }

    // sums += weights times this warp's columns of the tile.
    ELBEAM_DEVICE void pool(const T* tile, const std::uint32_t (&weights)[kRowTiles][4]) {
      const int matrix = lane_index() / 8;
      const T* row = tile + (matrix % 2 * 8 + lane_index() % 8) * kStride + warp_index() * kSlice +
                     matrix / 2 * 8;
      ELBEAM_UNROLL
      for (int s = 0; s < kSteps; ++s) {
        std::uint32_t values[4];
        load_matrices<true>(values, row + 16 * s);
        ELBEAM_UNROLL
        for (int m = 0; m < kRowTiles; ++m) {
          multiply_fragments<T>(sums[m][2 * s], weights[m], values[0], values[1]);
          multiply_fragments<T>(sums[m][2 * s + 1], weights[m], values[2], values[3]);
        }
      }
    }

    ELBEAM_DEVICE void finish(const Args& args) {
      const KeyRange range = args.ranges[range_index(args)];
      const Rows rows(args, range, first);
      ELBEAM_UNROLL
      for (int m = 0; m < kRowTiles; ++m) {
        ELBEAM_UNROLL
        for (int r = 0; r < 2; ++r) {
          const int row = 16 * m + 8 * r + lane_index() / 4;
          const float whole = lanes_sum<4>(total[m][r]);
          if (row < rows.count) put_row(args, range, m, r, rows.first + row, whole);
        }
      }
    }

    ELBEAM_DEVICE void put_row(const Args& args, const KeyRange& range, int m, int r,
                               std::int64_t row, float whole) {
      const std::int64_t place = range.part * args.partial_rows + row;
      const int column = computed_here(warp_index() * kSlice + lane_index() % 4 * 2);
      if (range.parts > 1 && column == 0) {
        args.partial_stats[2 * place] = maximum[m][r];
        args.partial_stats[2 * place + 1] = whole;
      }
      ELBEAM_UNROLL
      for (int n = 0; n < 2 * kSteps; ++n) {
        const int c = column + 8 * n;
        if (c >= args.width) continue;
        const float low = sums[m][n][2 * r];
        const float high = sums[m][n][2 * r + 1];
        if (range.parts > 1) {
          float* out = args.partial + place * args.width + c;
          out[0] = low;
          out[1] = high;
        } else {
          T* out = args.out + row * args.out_stride + c;
          out[0] = from_float<T>(low / whole);
          out[1] = from_float<T>(high / whole);
        }
      }
    }
  };
};

}  // namespace elbeam::kernels
