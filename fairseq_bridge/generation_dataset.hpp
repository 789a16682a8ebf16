// What generation needs of a data set, whatever the task: sentences, sizes and an order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace elbeam::fairseq {

// One sentence of a batch.
struct Sentence {
  std::int64_t id = 0;  // index in the data set, or running number of the input line
  std::vector<std::int64_t> source;
  std::vector<std::int64_t> target;  // of a data set that has_targets
  // The lines themselves, where the data set keeps them (raw) and --replace-unk asks for them.
  std::string source_text{};
  std::string target_text{};
};

// Immutable; const access from any thread. Indices are in [0, size()).
class GenerationDataset {
 public:
  virtual ~GenerationDataset() = default;

  virtual std::int64_t size() const noexcept = 0;
  virtual bool has_targets() const noexcept = 0;

  // Lengths that ordering, batching and the size filter see; the target's is 0 where there is none.
  virtual std::int64_t source_size(std::int64_t index) const = 0;
  virtual std::int64_t target_size(std::int64_t index) const = 0;

  virtual std::vector<std::int64_t> source(std::int64_t index) const = 0;
  virtual std::vector<std::int64_t> target(std::int64_t index) const = 0;  // has_targets() only

  // The lines themselves (src.get_original_text). Throws Error(kUsage): only raw data has them.
  virtual std::string source_text(std::int64_t index) const = 0;
  virtual std::string target_text(std::int64_t index) const = 0;  // has_targets() only

  // fairseq's dataset.ordered_indices() under numpy.random.seed(seed).
  virtual std::vector<std::int64_t> ordered_indices(std::uint32_t seed) const = 0;

  // Whether the collater puts the longest source into the first row. A language model's does not.
  virtual bool sorts_rows() const noexcept { return true; }
};

}  // namespace elbeam::fairseq
