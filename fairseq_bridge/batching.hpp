// fairseq's virtual batches: which sentences are decoded together, and in what order.
#pragma once

#include "fairseq_bridge/generation_dataset.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace elbeam::fairseq {

// numpy.random.RandomState(seed).permutation(size).
std::vector<std::int64_t> numpy_permutation(std::uint32_t seed, std::int64_t size);

// LanguagePairDataset.ordered_indices: by source length, then target length; equal ones by index
// where `shuffle` is off, else in the order of a permutation drawn with `seed`.
std::vector<std::int64_t> pair_order(const GenerationDataset& dataset, bool shuffle,
                                     std::uint32_t seed);

struct SizeLimits {
  std::int64_t source = 1024;
  std::int64_t target = 1024;
  bool one_side = false;      // sentences have no targets, and messages tell one number
  bool skip_invalid = false;  // --skip-invalid-size-inputs-valid-test
};

// FairseqTask.filter_indices_by_size: removes the sentences that are too long, with a warning, or
// throws Error(kModel) with fairseq's message for the first of them.
std::vector<std::int64_t> filter_by_size(const GenerationDataset& dataset,
                                         const std::vector<std::int64_t>& indices,
                                         const SizeLimits& size_limits);

struct BatchLimits {
  std::int64_t max_tokens = -1;     // <= 0: no limit; counts padding
  std::int64_t max_sentences = -1;  // <= 0: no limit
  std::int64_t multiple = 8;        // --required-batch-size-multiple, >= 1
};

// data_utils_fast.batch_by_size_vec: lengths of consecutive runs that make up the batches.
// num_tokens[i] is the size of the i-th sentence in order. Throws Error(kModel) for a sentence
// above max_tokens.
std::vector<std::int64_t> batch_sizes(const std::vector<std::int64_t>& num_tokens,
                                      const BatchLimits& batch_limits);

// The batches of `indices`, each in the order given. A sentence's size is the longer of source and
// target.
std::vector<std::vector<std::int64_t>> batch_by_size(const GenerationDataset& dataset,
                                                     const std::vector<std::int64_t>& indices,
                                                     const BatchLimits& batch_limits);

}  // namespace elbeam::fairseq
