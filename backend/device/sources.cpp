#include "device/sources.hpp"

#include "base/check.hpp"
#include "kernels/launch_plan.hpp"

#include <algorithm>
#include <numeric>

namespace elbeam::device {

using attention::Kind;

template <typename T>
Sources<T>::Sources(const Layers<T>& decoder, const SourceShape& shape)
    : layers_(decoder),
      shape_(shape),
      firsts_(usize(shape.places)),
      lengths_(usize(shape.places)),
      parts_(usize(shape.places), 1) {
  Device& device = layers_.device();
  parts_of_ = Buffer<std::int32_t>(device, parts_);
  if (!any()) return;
  most_parts_ = parts_for(shape.longest);
  ranges_ = Buffer<kernels::KeyRange>(device, checked_mul(shape.places, std::int64_t{most_parts_}));
  if (shape_.kind == Kind::kEl) {
    hidden_ = Buffer<T>(device, checked_mul(tokens(), shape_.dim));
    return;
  }
  for (std::size_t i = 0; i < layers_.stack().layers.size(); ++i) {
    for (auto* all : {&keys_, &values_})
      all->emplace_back(device, checked_mul(tokens(), layers_.stack().dim));
  }
}

template <typename T>
std::int32_t Sources<T>::parts_for(std::int64_t tokens) const {
  const std::int64_t heads = layers_.stack().heads;
  const std::int64_t blocks =
      shape_.places * (shape_.kind == Kind::kEl ? (shape_.beam * heads + 15) / 16 : heads);
  return kernels::plan_parts(narrow(tokens), blocks, layers_.device().properties().limits);
}

template <typename T>
void Sources<T>::put(std::span<const SourceAt> sentences, const T* states) {
  for (std::size_t i = 0; i < sentences.size();) {
    // Sentences that lie one after another are taken together.
    const std::int64_t to = sentences[i].first_token;
    std::int64_t count = 0;
    do {
      count += sentences[i].tokens;
      ++i;
    } while (i < sentences.size() && sentences[i].first_token == to + count);
    ELBEAM_INVARIANT(to >= 0 && to + count <= tokens());
    if (shape_.kind == Kind::kEl) {
      layers_.device().copy(hidden_.data() + to * shape_.dim, states,
                            count * shape_.dim * ssize(sizeof(T)));
    } else {
      const std::int64_t d = layers_.stack().dim;
      for (std::size_t l = 0; l < keys_.size(); ++l) {
        const AttentionWeights<T>& w = *layers_.stack().layers[l].cross;
        layers_.linear(states, count, w.key, keys_[l].data() + to * d, d);
        layers_.linear(states, count, w.value, values_[l].data() + to * d, d);
      }
    }
    states += count * shape_.dim;
  }
}

template <typename T>
void Sources<T>::place(std::span<const PlacedSentence> sentences) {
  if (!any()) return;
  for (const auto& [source, place] : sentences) {
    firsts_[usize(place)] = source.first_token;
    lengths_[usize(place)] = source.tokens;
  }
  plan();
}

template <typename T>
void Sources<T>::plan() {
  std::vector<std::int64_t> order(usize(shape_.places));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return length(a) > length(b); });
  std::vector<kernels::KeyRange> ranges;
  for (const std::int64_t place : order) {
    if (length(place) == 0) break;
    const std::int32_t parts = parts_[usize(place)] = parts_for(length(place));
    for (std::int64_t p = 0; p < parts; ++p) {
      const std::int64_t begin = length(place) * p / parts;
      ranges.push_back({narrow(place), narrow(first(place) + begin),
                        narrow(length(place) * (p + 1) / parts - begin), narrow(p), parts});
    }
  }
  ranges.resize(usize(ranges_.size()), {narrow(shape_.places), 0, 1, 0, 1});
  ranges_.set(ranges);
  parts_of_.set(parts_);
}

template <typename T>
std::int64_t Sources<T>::bytes() const noexcept {
  std::int64_t total = hidden_.bytes();
  for (const auto* all : {&keys_, &values_}) {
    for (const auto& buffer : *all) total += buffer.bytes();
  }
  return total;
}

template class Sources<float>;
template class Sources<kernels::Half>;

}  // namespace elbeam::device
