// The best entries of what a warp has seen, sorted, spread over its lanes.
#pragma once

#include "kernels/core/device.hpp"
#include "kernels/core/search_args.hpp"

namespace elbeam::kernels {

// A value and its key (not negative) as one number: greater values first, of equal ones the smaller
// key. NaN is no value.
ELBEAM_DEVICE std::uint64_t rank_entry(float value, int key) {
  const std::uint32_t bits = float_bits(value + 0.0F);  // -0 is 0
  const std::uint32_t ordered = bits ^ ((bits >> 31) != 0 ? 0xffffffffU : 0x80000000U);
  return static_cast<std::uint64_t>(ordered) << 32 | ~static_cast<std::uint32_t>(key);
}
ELBEAM_DEVICE float entry_value(std::uint64_t entry) {
  const auto ordered = static_cast<std::uint32_t>(entry >> 32);
  return bits_float(ordered ^ ((ordered >> 31) != 0 ? 0x80000000U : 0xffffffffU));
}
ELBEAM_DEVICE int entry_key(std::uint64_t entry) {
  return static_cast<int>(~static_cast<std::uint32_t>(entry));
}

// Entry i is in place i / 32 of lane i % 32. All lanes take part in every call.
template <int kPlaces>
struct TopList {
  std::uint64_t entries[kPlaces];
  std::uint64_t last;  // entry `wanted` - 1: what a new one has to beat
  int wanted;

  static ELBEAM_DEVICE std::uint64_t nothing() { return rank_entry(negative_infinity(), kNoToken); }

  ELBEAM_DEVICE void clear(int wanted_entries) {
    wanted = wanted_entries;
    last = nothing();
    ELBEAM_UNROLL
    for (int p = 0; p < kPlaces; ++p) entries[p] = nothing();
  }

  // The same entry in every lane.
  ELBEAM_DEVICE void insert(std::uint64_t entry) {
    int before = 0;
    ELBEAM_UNROLL
    for (int p = 0; p < kPlaces; ++p) before += count_bits(ballot(entries[p] > entry));
    ELBEAM_UNROLL
    for (int p = kPlaces - 1; p >= 0; --p) {
      std::uint64_t moved = shuffle_up(entries[p], 1);
      if (p > 0) {
        const std::uint64_t carried = shuffle(entries[p > 0 ? p - 1 : 0], kWarp - 1);
        if (lane_index() == 0) moved = carried;
      }
      const int place = p * kWarp + lane_index();
      if (place >= before) entries[p] = place == before ? entry : moved;
    }
    // Not a choice by index: that would move the list out of registers.
    std::uint64_t place_of_last = 0;
    ELBEAM_UNROLL
    for (int p = 0; p < kPlaces; ++p)
      place_of_last |= entries[p] & ((wanted - 1) / kWarp == p ? ~std::uint64_t{0} : 0);
    last = shuffle(place_of_last, (wanted - 1) % kWarp);
  }

  // One offer of each lane.
  ELBEAM_DEVICE void offer(std::uint64_t entry) {
    for (unsigned votes = ballot(entry > last); votes != 0; votes &= votes - 1) {
      const std::uint64_t best = shuffle(entry, lowest_bit(votes));
      if (best > last) insert(best);
    }
  }

  // Calls put(place, entry) for the lane's entries below `wanted`.
  template <typename Put>
  ELBEAM_DEVICE void for_each(const Put& put) const {
    ELBEAM_UNROLL
    for (int p = 0; p < kPlaces; ++p) {
      const int place = p * kWarp + lane_index();
      if (place < wanted) put(place, entries[p]);
    }
  }
};

}  // namespace elbeam::kernels
