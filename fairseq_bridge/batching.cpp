#include "fairseq_bridge/batching.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "fairseq_bridge/fairseq_log.hpp"
#include "text/python_format.hpp"

#include <algorithm>
#include <numeric>
#include <random>

namespace elbeam::fairseq {
namespace {

// numpy's random_interval: a draw from 0..max by masking and rejecting.
std::int64_t random_interval(std::mt19937& engine, std::uint64_t max) {
  std::uint64_t mask = max;
  for (unsigned shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
  for (;;) {
    std::uint64_t value = engine();
    // numpy's next_uint64 of MT19937 takes the high half first.
    if (max > 0xffffffffU) value = (value << 32) | engine();
    value &= mask;
    if (value <= max) return static_cast<std::int64_t>(value);
  }
}

void sort_by(std::vector<std::int64_t>& indices, const std::vector<std::int64_t>& keys) {
  std::stable_sort(indices.begin(), indices.end(),
                   [&](std::int64_t a, std::int64_t b) { return keys[usize(a)] < keys[usize(b)]; });
}

std::string python_pair(std::int64_t a, std::int64_t b) { return concat("(", a, ", ", b, ")"); }

}  // namespace

std::vector<std::int64_t> numpy_permutation(std::uint32_t seed, std::int64_t size) {
  std::vector<std::int64_t> out(usize(size));
  std::iota(out.begin(), out.end(), std::int64_t{0});
  std::mt19937 engine(seed);  // seeded by the very recurrence of numpy's legacy seeding
  for (std::int64_t i = size - 1; i > 0; --i) {
    const std::int64_t j = random_interval(engine, static_cast<std::uint64_t>(i));
    std::swap(out[usize(i)], out[usize(j)]);
  }
  return out;
}

std::vector<std::int64_t> pair_order(const GenerationDataset& dataset, bool shuffle,
                                     std::uint32_t seed) {
  const std::int64_t size = dataset.size();
  std::vector<std::int64_t> indices(usize(size));
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  if (shuffle) indices = numpy_permutation(seed, size);
  std::vector<std::int64_t> keys(usize(size));
  if (dataset.has_targets()) {
    for (std::int64_t i = 0; i < size; ++i) keys[usize(i)] = dataset.target_size(i);
    sort_by(indices, keys);
  }
  for (std::int64_t i = 0; i < size; ++i) keys[usize(i)] = dataset.source_size(i);
  sort_by(indices, keys);
  return indices;
}

std::vector<std::int64_t> filter_by_size(const GenerationDataset& dataset,
                                         const std::vector<std::int64_t>& indices,
                                         const SizeLimits& size_limits) {
  std::vector<std::int64_t> kept;
  std::vector<std::int64_t> ignored;
  for (const std::int64_t index : indices) {
    const bool fits = dataset.source_size(index) <= size_limits.source &&
                      dataset.target_size(index) <= size_limits.target;
    (fits ? kept : ignored).push_back(index);
  }
  if (ignored.empty()) return kept;
  const auto shown = [&](std::int64_t source, std::int64_t target) {
    return size_limits.one_side ? std::to_string(source) : python_pair(source, target);
  };
  const std::string max_positions = shown(size_limits.source, size_limits.target);
  const std::int64_t first = ignored.front();
  ELBEAM_CHECK(size_limits.skip_invalid, ErrorCode::kModel, "Size of sample #", first,
               " is invalid (=", shown(dataset.source_size(first), dataset.target_size(first)),
               ") since max_positions=", max_positions,
               ", skip this example with --skip-invalid-size-inputs-valid-test");
  std::string ids;
  for (std::size_t i = 0; i < std::min<std::size_t>(ignored.size(), 10); ++i) {
    ids += (i == 0 ? "" : ", ") + std::to_string(ignored[i]);
  }
  fairseq_log(LogLevel::kWarning, "fairseq.tasks.fairseq_task",
              concat(text::python_thousands(ssize(ignored.size())),
                     " samples have invalid sizes and will be skipped, max_positions=",
                     max_positions, ", first few sample ids=[", ids, "]"));
  return kept;
}

std::vector<std::int64_t> batch_sizes(const std::vector<std::int64_t>& num_tokens,
                                      const BatchLimits& batch_limits) {
  const std::int64_t count = ssize(num_tokens.size());
  const auto too_many = [](std::int64_t value, std::int64_t limit) {
    return limit > 0 && value > limit;
  };
  for (const std::int64_t size : num_tokens) {
    ELBEAM_CHECK(!too_many(size, batch_limits.max_tokens), ErrorCode::kModel,
                 "Sentences lengths should not exceed max_tokens=", batch_limits.max_tokens,
                 ": one has ", size);
  }
  // [start, end) is the last batch that satisfies every limit, [end, i] the tail that could not be
  // added to it yet because the size would be no multiple.
  std::vector<std::int64_t> sizes;
  std::int64_t start = 0;
  std::int64_t end = 0;
  std::int64_t batch_longest = 0;
  std::int64_t tail_longest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    tail_longest = std::max(tail_longest, num_tokens[usize(i)]);
    std::int64_t longest = std::max(batch_longest, tail_longest);
    const std::int64_t sentences = i + 1 - start;
    const bool overflow = too_many(sentences, batch_limits.max_sentences) ||
                          too_many(checked_mul(sentences, longest), batch_limits.max_tokens);
    const bool matches =
        sentences < batch_limits.multiple || sentences % batch_limits.multiple == 0;
    if (overflow) {
      sizes.push_back(end - start);
      start = end;
      // The tail may be too much for one batch, too: then it is closed before this sentence.
      if (too_many(checked_mul(tail_longest, i + 1 - end), batch_limits.max_tokens)) {
        sizes.push_back(i - start);
        start = i;
        tail_longest = num_tokens[usize(i)];
      }
      longest = tail_longest;
    }
    if (overflow || matches) {
      end = i + 1;
      batch_longest = longest;
      tail_longest = 0;
    }
  }
  if (end > start) sizes.push_back(end - start);
  if (count > end) sizes.push_back(count - end);
  return sizes;
}

std::vector<std::vector<std::int64_t>> batch_by_size(const GenerationDataset& dataset,
                                                     const std::vector<std::int64_t>& indices,
                                                     const BatchLimits& batch_limits) {
  std::vector<std::int64_t> num_tokens;
  num_tokens.reserve(indices.size());
  for (const std::int64_t index : indices) {
    num_tokens.push_back(std::max(dataset.source_size(index), dataset.target_size(index)));
  }
  std::vector<std::vector<std::int64_t>> batches;
  auto position = indices.begin();
  for (const std::int64_t size : batch_sizes(num_tokens, batch_limits)) {
    batches.emplace_back(position, position + size);
    position += size;
  }
  return batches;
}

}  // namespace elbeam::fairseq
