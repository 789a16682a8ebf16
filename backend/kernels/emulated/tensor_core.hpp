// What core/tensor_core.hpp's instructions do, lane by lane, by the layouts in the PTX manual
// ("Matrix Fragments for mma.m16n8k16" and "ldmatrix").
#pragma once

#include "kernels/core/element.hpp"
#include "kernels/emulated/machine.hpp"

#include <array>

namespace elbeam::kernels::emulated {

// What the lanes of a warp show each other; two, so that a lane which runs ahead to the next
// instruction leaves alone what others still read.
using Fragments = std::array<std::array<std::uint32_t, 6>, 32>;
inline Fragments& fragments_of_warp() {
  static std::array<std::array<Fragments, 2>, 64> all;  // of a cluster of two blocks
  const auto warp = static_cast<std::size_t>(machine.current->index / 32);
  return all[warp][machine.warps[warp].operations % 2];
}

template <typename T>
float fragment_number(std::uint32_t pair, std::size_t which) {
  return to_float(T{static_cast<std::uint16_t>(which == 0 ? pair & 0xffffU : pair >> 16)});
}

template <typename T>
void multiply_fragments(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                        std::uint32_t b1) {
  Fragments& all = fragments_of_warp();
  const auto lane = static_cast<std::size_t>(thread_index() % 32);
  all[lane] = {a[0], a[1], a[2], a[3], b0, b1};
  meet(kFragments, 0);
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t row = lane / 4 + i / 2 * 8;
    const std::size_t column = lane % 4 * 2 + i % 2;
    float sum = sums[i];
    for (std::size_t k = 0; k < 16; ++k) {
      // A: row r is with lanes 4 (r % 8) and on, two columns each; registers 1 and 3 have the rows
      // from 8 on, 2 and 3 the columns from 8 on. B: column c is with lanes 4 c and on.
      const std::size_t a_lane = row % 8 * 4 + k % 8 / 2;
      const std::size_t b_lane = column * 4 + k % 8 / 2;
      sum += fragment_number<T>(all[a_lane][row / 8 + k / 8 * 2], k % 2) *
             fragment_number<T>(all[b_lane][4 + k / 8], k % 2);
    }
    sums[i] = sum;
  }
}

template <bool kTransposed>
void load_matrices(std::uint32_t (&to)[4], const void* row) {
  check_aligned(row, 16);
  const Warp& warp = meet(kFragments, to_slot(row));
  const auto lane = static_cast<std::size_t>(thread_index() % 32);
  for (std::size_t matrix = 0; matrix < 4; ++matrix) {
    const auto number = [&](std::size_t r, std::size_t c) {
      return std::uint32_t{from_slot<const std::uint16_t*>(warp.slots[8 * matrix + r])[c]};
    };
    const std::size_t first = lane % 4 * 2;
    to[matrix] = kTransposed ? number(first, lane / 4) | number(first + 1, lane / 4) << 16
                             : number(lane / 4, first) | number(lane / 4, first + 1) << 16;
  }
}

}  // namespace elbeam::kernels::emulated
