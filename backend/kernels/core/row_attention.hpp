// One warp attends with one query row to keys in shared memory: softmax with a running maximum, so
// that keys are read once for both products.
#pragma once

#include "kernels/core/args.hpp"
#include "kernels/core/device.hpp"

namespace elbeam::kernels {

// kLanes lanes share a key, each with kElements of its columns in registers; the 32 / kLanes groups
// of lanes take different keys and are merged at the end. A lane's columns are vectors of 16 bytes,
// kLanes apart: a group reads whole lines of shared memory. Widths above kLanes * kElements (only
// with kWide) are worked through in chunks of that many columns: scores over all, results over one.
template <typename T, int kLanes_, int kElements_, bool kWide_ = false>
struct Geometry {
  using Element = T;
  static constexpr int kLanes = kLanes_;
  static constexpr int kElements = kElements_;
  static constexpr bool kWide = kWide_;
  static constexpr int kColumns = kLanes * kElements;
  static constexpr int kGroups = kWarp / kLanes;
  static constexpr int kVectors = kElements / kVector<T>;
  static_assert(kElements % kVector<T> == 0);
  static ELBEAM_PORTABLE int stride(int width) {
    return staged_stride(kLanes, kElements, width, static_cast<int>(sizeof(T)));
  }
  static ELBEAM_DEVICE int column(int vector) {
    return (lane_index() % kLanes + vector * kLanes) * kVector<T>;
  }
};

template <typename G>
struct RowAttention {
  using T = typename G::Element;
  static constexpr int kBatch = 4;  // keys of a group between two corrections of the sums

  // This lane's columns of staged rows. Places are counted in bytes: one multiplication and
  // addition finds a row.
  struct Staged {
    const unsigned char* first;
    int stride;
    ELBEAM_DEVICE Staged(const T* first_row, int row_stride)
        : first(reinterpret_cast<const unsigned char*>(first_row)),
          stride(row_stride * static_cast<int>(sizeof(T))) {}
    ELBEAM_DEVICE const T* row(int number) const {
      return reinterpret_cast<const T*>(first + number * stride);
    }
  };

  float query[G::kElements];
  float sums[G::kElements];
  float maximum;
  float total;
  const T* far_query = nullptr;  // kWide: what does not fit into registers
  int width = 0;
  float scale = 1.0F;

  ELBEAM_DEVICE void start(const T* row, int row_width, float row_scale) {
    far_query = row;
    width = row_width;
    scale = row_scale;
    maximum = negative_infinity();
    total = 0.0F;
    load_query(0);
    ELBEAM_UNROLL
    for (int e = 0; e < G::kElements; ++e) sums[e] = 0.0F;
  }

  ELBEAM_DEVICE void load_query(int first_column) {
    const bool aligned = is_vector_aligned(far_query);
    ELBEAM_UNROLL
    for (int v = 0; v < G::kVectors; ++v) {
      const int first = first_column + G::column(v);
      float values[kVector<T>];
      if (aligned && first + kVector<T> <= width) {
        load_vector(far_query + first, values);
      } else {
        ELBEAM_UNROLL
        for (int i = 0; i < kVector<T>; ++i)
          values[i] = first + i < width ? to_float(far_query[first + i]) : 0.0F;
      }
      ELBEAM_UNROLL
      for (int i = 0; i < kVector<T>; ++i) query[v * kVector<T> + i] = scale * values[i];
    }
  }

  // The product of query columns [chunk] with a staged key, summed over this lane's columns, of
  // which the key's first is given.
  ELBEAM_DEVICE float partial_score(const T* key) const {
    float score = 0.0F;
    ELBEAM_UNROLL
    for (int v = 0; v < G::kVectors; ++v) {
      float values[kVector<T>];
      load_vector(key + v * G::kLanes * kVector<T>, values);
      ELBEAM_UNROLL
      for (int i = 0; i < kVector<T>; ++i) score += query[v * kVector<T> + i] * values[i];
    }
    return score;
  }

  // Staged keys and values index(0) .. index(count - 1); value_column is the first of the chunk
  // that the sums are of. Every lane of the warp takes part.
  template <typename Index>
  ELBEAM_DEVICE void absorb(const T* keys, const T* values, int stride, int value_column, int count,
                            const Index& index) {
    const int group = lane_index() / G::kLanes;
    const Staged lane_keys(keys + G::column(0), stride);
    const Staged lane_values(values + value_column + G::column(0), stride);
    for (int first = 0; first < count; first += kBatch * G::kGroups) {
      float scores[kBatch];
      float best = maximum;
      score_batch(lane_keys, first, count, index, scores);
      ELBEAM_UNROLL
      for (int b = 0; b < kBatch; ++b) {
        scores[b] = lanes_sum<G::kLanes>(scores[b]);
        best = fmaxf(best, scores[b]);
      }
      // As long as all scores are -inf, nothing is subtracted: -inf - -inf would be NaN.
      const float shift = best == negative_infinity() ? 0.0F : best;
      const float correction = expf(maximum - shift);
      maximum = best;
      total *= correction;
      ELBEAM_UNROLL
      for (int e = 0; e < G::kElements; ++e) sums[e] *= correction;
      ELBEAM_UNROLL
      for (int b = 0; b < kBatch; ++b) {
        const int key = first + b * G::kGroups + group;
        if (key >= count) continue;
        const float weight = expf(scores[b] - shift);
        total += weight;
        add(lane_values.row(index(key)), weight);
      }
    }
  }

  template <typename Index>
  ELBEAM_DEVICE void score_batch(const Staged& keys, int first, int count, const Index& index,
                                 float (&scores)[kBatch]) {
    const int group = lane_index() / G::kLanes;
    ELBEAM_UNROLL
    for (int b = 0; b < kBatch; ++b)
      scores[b] = first + b * G::kGroups + group < count ? 0.0F : negative_infinity();
    const int last_column = G::kWide ? width : 1;
    for (int column = 0; column < last_column; column += G::kColumns) {
      if constexpr (G::kWide) load_query(column);
      ELBEAM_UNROLL
      for (int b = 0; b < kBatch; ++b) {
        const int key = first + b * G::kGroups + group;
        if (key < count) scores[b] += partial_score(keys.row(index(key)) + column);
      }
    }
  }

  ELBEAM_DEVICE void add(const T* value, float weight) {
    ELBEAM_UNROLL
    for (int v = 0; v < G::kVectors; ++v) {
      float values[kVector<T>];
      load_vector(value + v * G::kLanes * kVector<T>, values);
      ELBEAM_UNROLL
      for (int i = 0; i < kVector<T>; ++i) sums[v * kVector<T> + i] += weight * values[i];
    }
  }

  // Brings the groups of lanes together; afterwards each has the whole result.
  ELBEAM_DEVICE void merge_groups() {
    if constexpr (G::kGroups > 1) {
      float best = maximum;
      ELBEAM_UNROLL
      for (int bits = G::kLanes; bits < kWarp; bits *= 2)
        best = fmaxf(best, shuffle_xor(best, bits));
      const float correction = best == negative_infinity() ? 1.0F : expf(maximum - best);
      maximum = best;
      total *= correction;
      ELBEAM_UNROLL
      for (int e = 0; e < G::kElements; ++e) sums[e] *= correction;
      ELBEAM_UNROLL
      for (int bits = G::kLanes; bits < kWarp; bits *= 2) {
        total += shuffle_xor(total, bits);
        ELBEAM_UNROLL
        for (int e = 0; e < G::kElements; ++e) sums[e] += shuffle_xor(sums[e], bits);
      }
    }
  }

  // Writes sums / divisor to `columns` columns of the chunk, which begins at out.
  template <typename O>
  ELBEAM_DEVICE void store(O* out, int columns, float divisor) const {
    if (lane_index() >= G::kLanes) return;
    const bool aligned = is_vector_aligned(out);
    ELBEAM_UNROLL
    for (int e = 0; e < G::kElements; e += kVector<O>) {
      const int first = G::column(e / kVector<T>) + e % kVector<T>;
      float values[kVector<O>];
      ELBEAM_UNROLL
      for (int i = 0; i < kVector<O>; ++i) values[i] = sums[e + i] / divisor;
      if (aligned && first + kVector<O> <= columns) {
        store_vector(out + first, values);
        continue;
      }
      ELBEAM_UNROLL
      for (int i = 0; i < kVector<O>; ++i) {
        if (first + i < columns) out[first + i] = from_float<O>(values[i]);
      }
    }
  }
};

// Brings `width` numbers of a row into shared memory, zeros behind them up to `stride`; all threads
// of the block call it for the rows of a tile. `vector` says that from is 16-byte aligned and width
// is whole vectors.
template <typename T>
ELBEAM_DEVICE void stage_row_part(const T* from, T* to, int width, int stride, bool vector,
                                  int thread, int threads) {
  // Not unrolled: copies do not wait for each other, and registers are wanted for the sums.
  if (vector) {
    ELBEAM_NO_UNROLL
    for (int c = thread * kVector<T>; c < width; c += threads * kVector<T>)
      copy_async(to + c, from + c);
  } else {
    ELBEAM_NO_UNROLL
    for (int c = thread; c < width; c += threads) to[c] = from[c];
  }
  ELBEAM_NO_UNROLL
  for (int c = width + thread; c < stride; c += threads) to[c] = from_float<T>(0.0F);
}

}  // namespace elbeam::kernels
