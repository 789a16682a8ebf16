// Numbers that somebody else may own: in memory, in a mapped file.
#pragma once

#include <memory>
#include <span>

namespace elbeam {

// Immutable; copies share. `owner` keeps `values` alive, and is empty where the reader has to.
template <typename T>
struct SharedArray {
  std::span<const T> values;
  std::shared_ptr<const void> owner;
};

}  // namespace elbeam
