// The best entries of what a warp has seen, sorted, spread over its lanes.
#pragma once

#include "kernels/core/device.hpp"
#include "kernels/core/search_args.hpp"

namespace elbeam::kernels {

// Greater values first; of equal ones the smaller key.
ELBEAM_DEVICE bool comes_before(float value, int key, float other_value, int other_key) {
  return value > other_value || (value == other_value && key < other_key);
}

// Entry i is in place i / 32 of lane i % 32. All lanes take part in every call.
template <int kPlaces>
struct TopList {
  static constexpr int kCapacity = kPlaces * kWarp;

  float values[kPlaces];
  int keys[kPlaces];
  float last_value;  // of entry `wanted` - 1: what a new one has to beat
  int last_key;
  int wanted;

  ELBEAM_DEVICE void clear(int wanted_entries) {
    wanted = wanted_entries;
    last_value = negative_infinity();
    last_key = kNoToken;
    ELBEAM_UNROLL
    for (int p = 0; p < kPlaces; ++p) {
      values[p] = negative_infinity();
      keys[p] = kNoToken;
    }
  }

  ELBEAM_DEVICE bool takes(float value, int key) const {
    return comes_before(value, key, last_value, last_key);
  }

  // The same value and key in every lane.
  ELBEAM_DEVICE void insert(float value, int key) {
    int before = 0;
    ELBEAM_UNROLL
    for (int p = 0; p < kPlaces; ++p)
      before += count_bits(ballot(comes_before(values[p], keys[p], value, key)));
    ELBEAM_UNROLL
    for (int p = kPlaces - 1; p >= 0; --p) {
      float moved_value = shuffle_up(values[p], 1);
      int moved_key = shuffle_up(keys[p], 1);
      if (p > 0) {
        const float carried_value = shuffle(values[p - 1 < 0 ? 0 : p - 1], kWarp - 1);
        const int carried_key = shuffle(keys[p - 1 < 0 ? 0 : p - 1], kWarp - 1);
        if (lane_index() == 0) {
          moved_value = carried_value;
          moved_key = carried_key;
        }
      }
      const int entry = p * kWarp + lane_index();
      if (entry >= before) {
        values[p] = entry == before ? value : moved_value;
        keys[p] = entry == before ? key : moved_key;
      }
    }
    ELBEAM_UNROLL
    for (int p = 0; p < kPlaces; ++p) {
      if ((wanted - 1) / kWarp == p) {
        last_value = shuffle(values[p], (wanted - 1) % kWarp);
        last_key = shuffle(keys[p], (wanted - 1) % kWarp);
      }
    }
  }

  // One offer of each lane.
  ELBEAM_DEVICE void offer(float value, int key) {
    for (unsigned votes = ballot(takes(value, key)); votes != 0; votes &= votes - 1) {
      const float best = shuffle(value, lowest_bit(votes));
      const int best_key = shuffle(key, lowest_bit(votes));
      if (takes(best, best_key)) insert(best, best_key);
    }
  }

  // Calls put(entry, value, key) for the lane's entries below `wanted`.
  template <typename Put>
  ELBEAM_DEVICE void for_each(const Put& put) const {
    ELBEAM_UNROLL
    for (int p = 0; p < kPlaces; ++p) {
      const int entry = p * kWarp + lane_index();
      if (entry < wanted) put(entry, values[p], keys[p]);
    }
  }
};

}  // namespace elbeam::kernels
