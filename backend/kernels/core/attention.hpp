// Attention of a decode step, for every device: fused, keys (or hidden states) are read once.
#pragma once

#include "kernels/core/row_attention.hpp"
#include "kernels/device_kernels.hpp"

namespace elbeam::kernels {

// Which part of the work a block of the attention kernels has; see ContiguousArgs.
struct BlockPlace {
  int item;  // range or group
  int chunk;
  int row_block;
};
ELBEAM_DEVICE BlockPlace block_place(int row_blocks, int chunks) {
  const int x = block_x();
  return {x / row_blocks / chunks, x / row_blocks % chunks, x % row_blocks};
}

// The rows of the range's group that lie in the slice, counted from its first; none: no more than
// 0.
template <typename T>
ELBEAM_DEVICE RowRange rows_of(const ContiguousArgs<T>& args, const KeyRange& range) {
  const RowRange all = args.rows_of[range.group];
  const int first = all.first < args.first_row ? args.first_row : all.first;
  const int end = all.first + all.count < args.end_row ? all.first + all.count : args.end_row;
  return {first - args.first_row, end - first};
}

// kCausal: queries and keys are the rows of the same tokens, numbered alike, and a row attends to
// itself and what lies before it.
template <typename G, bool kCausal>
struct TokenAttention {
  using T = typename G::Element;
  using Args = ContiguousArgs<T>;
  static constexpr int kMaxThreads = kWarp * attention_warps(G::kElements);
  static constexpr int kMinBlocks = G::kElements > 8 ? 1 : 2;

  static ELBEAM_DEVICE void run(const Args& args) {
    const BlockPlace place = block_place(args.row_blocks, args.chunks);
    const KeyRange range = args.ranges[place.item];
    const RowRange rows = rows_of(args, range);
    const int count = rows.count * args.query_rows;
    const int warps = thread_count() / kWarp;
    for (int first = place.row_block * warps; first < count; first += args.row_blocks * warps)
      attend(args, range, rows.first * args.query_rows + first, count - first);
  }

 private:
  // A tile of keys, and of values where they are not the same.
  struct Tile {
    T* keys;
    T* values;
  };
  static ELBEAM_DEVICE Tile tile(const Args& args, int stage) {
    const bool shared = args.values == args.keys;
    const int size = args.tile_keys * G::stride(args.width);
    T* keys = reinterpret_cast<T*>(shared_memory()) + stage * (shared ? 1 : 2) * size;
    return {keys, shared ? keys : keys + size};
  }

  static ELBEAM_DEVICE void stage(const Args& args, const KeyRange& range, int head, int first,
                                  const Tile& to) {
    const int keys = range.keys - first < args.tile_keys ? range.keys - first : args.tile_keys;
    const bool vector = args.width % kVector<T> == 0 && args.key_stride % kVector<T> == 0 &&
                        args.head_stride % kVector<T> == 0 &&
                        reinterpret_cast<std::uintptr_t>(args.keys) % 16 == 0 &&
                        reinterpret_cast<std::uintptr_t>(args.values) % 16 == 0;
    const int stride = G::stride(args.width);
    ELBEAM_NO_UNROLL
    for (int k = warp_index(); k < keys; k += thread_count() / kWarp) {
      const std::int64_t from =
          (static_cast<std::int64_t>(range.first_key) + first + k) * args.key_stride +
          static_cast<std::int64_t>(head) * args.head_stride;
      stage_row_part(args.keys + from, to.keys + k * stride, args.width, stride, vector,
                     lane_index(), kWarp);
      if (args.values != args.keys)
        stage_row_part(args.values + from, to.values + k * stride, args.width, stride, vector,
                       lane_index(), kWarp);
    }
    commit_copies();
  }

  // The warps of the block take query rows first_row, first_row + 1, ... of which `rows` exist.
  static ELBEAM_DEVICE void attend(const Args& args, const KeyRange& range, int first_row,
                                   int rows) {
    const int head = block_z();
    const int column = block_place(args.row_blocks, args.chunks).chunk * G::kColumns;
    const bool active = warp_index() < rows;
    const std::int64_t row = first_row + warp_index();
    RowAttention<G> attention;
    if (active) {
      attention.start(args.queries + row * args.query_stride +
                          static_cast<std::int64_t>(head) * args.head_stride,
                      args.width, args.scale);
    }
    int end = range.keys;
    if constexpr (kCausal) {  // the last row of the block sees the most
      const int last = first_row + (rows < thread_count() / kWarp ? rows : thread_count() / kWarp);
      end = last - range.first_key < end ? last - range.first_key : end;
    }
    stage(args, range, head, 0, tile(args, 0));
    for (int first = 0, s = 0; first < end; first += args.tile_keys, s ^= 1) {
      if (first + args.tile_keys < end) {
        stage(args, range, head, first + args.tile_keys, tile(args, s ^ 1));
        wait_copies<1>();
      } else {
        wait_copies<0>();
      }
      block_barrier();  // every thread's copies have arrived
      const Tile now = tile(args, s);
      int keys = range.keys - first < args.tile_keys ? range.keys - first : args.tile_keys;
      if constexpr (kCausal) {
        const int seen = first_row + warp_index() + 1 - range.first_key - first;
        keys = seen < keys ? seen : keys;
      }
      if (active)
        attention.absorb(now.keys, now.values, G::stride(args.width), column, keys,
                         [](int k) { return k; });
      block_barrier();  // the tile may be overwritten
    }
    if (active) finish(args, range, row, head, column, attention);
  }

  static ELBEAM_DEVICE void finish(const Args& args, const KeyRange& range, std::int64_t row,
                                   int head, int column, RowAttention<G>& attention) {
    attention.merge_groups();
    const int left = args.width - column;
    const int columns = left < G::kColumns ? left : G::kColumns;
    if (range.parts == 1) {
      T* out = args.out + row * args.out_stride +
               static_cast<std::int64_t>(head) * args.head_stride + column;
      attention.store(out, columns, attention.total);
      return;
    }
    const std::int64_t heads = args.head_stride == 0 ? 1 : args.out_stride / args.head_stride;
    const std::int64_t place = (range.part * args.partial_rows + row) * heads + head;
    float* out = args.partial + place * args.width + column;
    attention.store(out, columns, 1.0F);
    if (column == 0 && lane_index() == 0) {
      args.partial_stats[2 * place] = attention.maximum;
      args.partial_stats[2 * place + 1] = attention.total;
    }
  }
};

template <typename G>
struct ContiguousAttention : TokenAttention<G, false> {
  static constexpr const char* kName = "contiguous_attention";
};
template <typename G>
struct CausalAttention : TokenAttention<G, true> {
  static constexpr const char* kName = "causal_attention";
};

template <typename T>
struct MergeParts {
  using Args = MergeArgs<T>;
  static constexpr const char* kName = "merge_parts";
  static constexpr int kMaxThreads = 256;
  static constexpr int kMinBlocks = 4;

  static ELBEAM_DEVICE void run(const Args& args) {
    const std::int64_t row = block_x();
    const int head = block_y();
    const int parts = args.parts_of_row[row / args.query_rows];
    if (parts <= 1) return;  // written by the attention itself, or finished
    const auto place = [&](int part) {
      return (part * args.partial_rows + row) * args.heads + head;
    };
    float best = negative_infinity();
    for (int p = 0; p < parts; ++p) best = fmaxf(best, args.partial_stats[2 * place(p)]);
    const float shift = best == negative_infinity() ? 0.0F : best;
    float total = 0.0F;
    for (int p = 0; p < parts; ++p)
      total +=
          args.partial_stats[2 * place(p) + 1] * expf(args.partial_stats[2 * place(p)] - shift);
    T* out = args.out + row * args.out_stride + static_cast<std::int64_t>(head) * args.head_stride;
    for (int c = thread_index(); c < args.width; c += thread_count()) {
      float sum = 0.0F;
      for (int p = 0; p < parts; ++p)
        sum += args.partial[place(p) * args.width + c] *
               expf(args.partial_stats[2 * place(p)] - shift);
      out[c] = from_float<T>(sum / total);
    }
  }
};

template <typename T>
ELBEAM_DEVICE T* slot_of(const PagedCache<T>& cache, int step, std::int64_t slot) {
  const CachePage<T> page = cache.pages[step / kPageSteps];
  return page.data + (step % kPageSteps * page.rows + slot) * cache.slot_width + cache.layer_offset;
}

// kPart: one of several parts of what the rows attend to. A kernel of its own, since two places to
// write to need more registers.
template <typename G, bool kPart>
struct HistoryAttention {
  using T = typename G::Element;
  using Args = PagedArgs<T>;
  static constexpr int kMaxThreads = kWarp * attention_warps(G::kElements);
  static constexpr int kMinBlocks = G::kElements > 8 || kPart ? 1 : 2;

  static ELBEAM_DEVICE void run(const Args& args) {
    const StepState state = *args.state;
    const BlockPlace place = block_place(args.row_blocks, args.chunks);
    if (args.first_group + place.item >= state.groups) return;
    const int warps = thread_count() / kWarp;
    const int count = state.group_rows * args.query_rows;
    for (int first = place.row_block * warps; first < count; first += args.row_blocks * warps)
      attend(args, state, place.item, first);
  }

 private:
  // Shared memory of a tile.
  struct Tile {
    T* keys;
    T* values;
    const T** sources;  // [tile_slots] where the staged slots lie
    int* map;           // [histories][steps of the tile] place of a slot among the staged ones
    int* staged;        // how many
  };
  static ELBEAM_DEVICE Tile tile(const Args& args) {
    const int size = args.tile_slots * G::stride(args.width);
    T* keys = reinterpret_cast<T*>(shared_memory());
    T* values = args.value_offset == 0 ? keys : keys + size;
    auto** sources = reinterpret_cast<const T**>(values + size);
    auto* map = reinterpret_cast<int*>(sources + args.tile_slots);
    return {keys, values, sources, map, map + args.tile_slots};
  }

  // The histories that the block's rows read: those of `count` rows of the group, round about from
  // row `first`.
  struct Histories {
    const std::int32_t* ancestors;  // of the group's row 0
    std::int64_t stride;
    int first;
    int count;
    int rows;  // of the group
    ELBEAM_DEVICE int slot(int history, int step) const {
      return ancestors[(first + history) % rows * stride + step];
    }
  };

  // One warp: lists each slot that the tile's steps need once, history by history: lanes read
  // ancestors that lie together, and the slots of successive steps lie in different banks.
  static ELBEAM_DEVICE void list_slots(const Args& args, const Histories& histories, int first_step,
                                       int steps, const Tile& to) {
    const int pairs = steps * histories.count;
    int listed = 0;
    for (int base = 0; base < pairs; base += kWarp) {
      const int pair = base + lane_index();
      const int history = pair / steps;
      const int step = pair % steps;
      int same = history;  // the first history that has this slot
      int slot = 0;
      if (pair < pairs) {
        slot = histories.slot(history, first_step + step);
        same = 0;
        while (histories.slot(same, first_step + step) != slot) ++same;
      }
      const bool first = pair < pairs && same == history;
      const unsigned firsts = ballot(first);
      if (first) {
        const int place = listed + count_bits(firsts & ((1U << lane_index()) - 1U));
        to.sources[place] = slot_of(args.cache, first_step + step, slot);
        to.map[pair] = place;
      }
      warp_barrier();
      if (pair < pairs && !first) to.map[pair] = to.map[same * steps + step];
      listed += count_bits(firsts);
    }
    if (lane_index() == 0) *to.staged = listed;
  }

  static ELBEAM_DEVICE void stage(const Args& args, const Tile& to, int head) {
    const std::int64_t offset = static_cast<std::int64_t>(head) * args.head_stride;
    const int stride = G::stride(args.width);
    const bool vector = args.width % kVector<T> == 0 && args.head_stride % kVector<T> == 0 &&
                        args.cache.slot_width % kVector<T> == 0 &&
                        args.cache.layer_offset % kVector<T> == 0 &&
                        args.value_offset % kVector<T> == 0;
    ELBEAM_NO_UNROLL
    for (int s = warp_index(); s < *to.staged; s += thread_count() / kWarp) {
      const T* from = to.sources[s] + offset;
      stage_row_part(from, to.keys + s * stride, args.width, stride, vector, lane_index(), kWarp);
      if (args.value_offset != 0)
        stage_row_part(from + args.value_offset, to.values + s * stride, args.width, stride, vector,
                       lane_index(), kWarp);
    }
    commit_copies();
  }

  // Query rows first, first + 1, ... of the group, head by head: row m is of hypothesis
  // m % group_rows.
  static ELBEAM_DEVICE void attend(const Args& args, const StepState& state, int group, int first) {
    const int count = state.group_rows * args.query_rows;
    const int head = block_z();
    const int column = block_place(args.row_blocks, args.chunks).chunk * G::kColumns;
    const int warps = thread_count() / kWarp;
    const int m = first + warp_index();
    const std::int64_t group_row = static_cast<std::int64_t>(group) * state.group_rows;
    const std::int64_t row =
        (group_row + m % state.group_rows) * args.query_rows + m / state.group_rows;
    const Histories histories{
        args.cache.ancestors[state.step % 2] + group_row * args.cache.ancestor_stride,
        args.cache.ancestor_stride, first % state.group_rows,
        warps < state.group_rows ? warps : state.group_rows, state.group_rows};
    const std::int64_t head_offset = static_cast<std::int64_t>(head) * args.head_stride;
    RowAttention<G> attention;
    if (m < count)
      attention.start(args.queries + row * args.query_stride + head_offset, args.width, args.scale);
    const Tile now = tile(args);
    const int tile_steps = args.tile_slots / histories.count;
    const int history = warp_index() % histories.count;
    // Loaded for each tile: there is no register for it.
    const auto last_step = [&] {
      return args.state->step - args.cache.first_of_row[group * args.state->group_rows];
    };
    for (int step = 0; step <= last_step(); step += tile_steps) {
      const int left = last_step() + 1 - step;
      const int steps = left < tile_steps ? left : tile_steps;
      block_barrier();  // the tile before is no longer read
      if (warp_index() == 0) list_slots(args, histories, step, steps, now);
      block_barrier();
      stage(args, now, head);
      wait_copies<0>();
      block_barrier();
      if (m < count)
        attention.absorb(now.keys, now.values, G::stride(args.width), column, steps,
                         [&](int k) { return now.map[history * steps + k]; });
    }
    if (m >= count) return;
    attention.merge_groups();
    const int rest = args.width - column;
    const int columns = rest < G::kColumns ? rest : G::kColumns;
    int parts = 1;
    if constexpr (kPart) parts = args.parts_of_row[group_row + m % state.group_rows];
    if (parts <= 1) {
      T* out = args.out + row * args.out_stride + head_offset + column;
      attention.store(out, columns, attention.total);
      return;
    }
    const std::int64_t heads = args.head_stride == 0 ? 1 : args.out_stride / args.head_stride;
    const std::int64_t place = ((parts - 1) * args.partial_rows + row) * heads + head;
    attention.store(args.partial + place * args.width + column, columns, 1.0F);
    if (column == 0 && lane_index() == 0) {
      args.partial_stats[2 * place] = attention.maximum;
      args.partial_stats[2 * place + 1] = attention.total;
    }
  }
};

template <typename G>
struct PagedAttention : HistoryAttention<G, false> {
  static constexpr const char* kName = "paged_attention";
};
template <typename G>
struct PagedPart : HistoryAttention<G, true> {
  static constexpr const char* kName = "paged_part";
};

template <typename T>
struct StoreSlots {
  using Args = StoreArgs<T>;
  static constexpr const char* kName = "store_slots";
  static constexpr int kMaxThreads = 256;
  static constexpr int kMinBlocks = 4;

  static ELBEAM_DEVICE void run(const Args& args) {
    const StepState state = *args.state;
    const int row = block_x();
    if (row >= state.rows) return;
    const T* from = args.x + row * args.x_stride + args.first_column;
    const int step = state.step - args.cache.first_of_row[row];
    const std::int32_t* own =
        args.cache.ancestors[state.step % 2] + row * args.cache.ancestor_stride;
    T* to = slot_of(args.cache, step, own[step]);
    for (int c = thread_index(); c < args.width; c += thread_count()) to[c] = from[c];
  }
};

}  // namespace elbeam::kernels
