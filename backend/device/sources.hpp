// What a decoder attends to besides its own tokens: sources of sentences that come and go, at
// addresses that stay the same.
#pragma once

#include "attention/weights.hpp"
#include "device/layers.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::device {

struct SourceShape {
  std::int64_t places = 0;   // sentences at once
  std::int64_t tokens = 0;   // of all of them
  std::int64_t longest = 0;  // of one
  std::int64_t beam = 1;
  attention::Kind kind = attention::Kind::kMha;
  std::int64_t dim = 0;  // of a token's state; 0: the decoder attends to nothing else
};

// A sentence of a batch, and where its source lies.
struct SourceAt {
  std::int64_t sentence = 0;
  std::int64_t first_token = 0;
  std::int64_t tokens = 0;
};

// The same in one of the places.
struct PlacedSentence {
  SourceAt source;
  std::int64_t place = 0;
};

template <typename T>
class Sources {
 public:
  Sources(const Layers<T>& decoder, const SourceShape& shape);

  // Takes the encoder's states of sentences, one after another, in place of what was there.
  void put(std::span<const SourceAt> sentences, const T* states);
  // From now on these are attended to from their places.
  void place(std::span<const PlacedSentence> sentences);

  bool any() const noexcept { return shape_.dim > 0; }
  attention::Kind kind() const noexcept { return shape_.kind; }
  std::int64_t dim() const noexcept { return shape_.dim; }
  std::int64_t tokens() const noexcept { return shape_.tokens; }  // that there is room for
  std::int64_t first(std::int64_t place) const noexcept { return firsts_[usize(place)]; }
  std::int64_t length(std::int64_t place) const noexcept { return lengths_[usize(place)]; }
  std::int64_t bytes() const noexcept;

  // EL-attention: keys and values of all layers.
  const T* hidden() const noexcept { return hidden_.data(); }
  const T* keys(std::size_t layer) const noexcept { return keys_[layer].data(); }
  const T* values(std::size_t layer) const noexcept { return values_[layer].data(); }

  // The work of a step's attention, always so many ranges: longest sentences first, so that the
  // last blocks to start are short ones. Group `places` has no rows.
  const Buffer<kernels::KeyRange>& ranges() const noexcept { return ranges_; }
  const std::vector<std::int32_t>& parts() const noexcept { return parts_; }   // [places]
  const Buffer<std::int32_t>& parts_of() const noexcept { return parts_of_; }  // the same
  std::int32_t most_parts() const noexcept { return most_parts_; }  // of any that may come

 private:
  std::int32_t parts_for(std::int64_t tokens) const;
  void plan();

  Layers<T> layers_;
  SourceShape shape_;
  std::vector<std::int64_t> firsts_;   // [places]
  std::vector<std::int64_t> lengths_;  // [places]; 0: nothing came yet
  Buffer<T> hidden_;
  std::vector<Buffer<T>> keys_;  // multi-head, one per layer
  std::vector<Buffer<T>> values_;
  Buffer<kernels::KeyRange> ranges_;
  std::vector<std::int32_t> parts_;
  Buffer<std::int32_t> parts_of_;
  std::int32_t most_parts_ = 1;
};

}  // namespace elbeam::device
