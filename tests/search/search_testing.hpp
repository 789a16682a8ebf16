// Shared by the tests of the search.
#pragma once

#include "search/decode_loop.hpp"
#include "support/scripted_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

namespace elbeam::search {

inline SourceBatch make_batch(std::vector<std::vector<std::int64_t>> sentences) {
  SourceBatch batch;
  batch.sentences = std::move(sentences);
  for (const auto& sentence : batch.sentences) {
    batch.padded_length = std::max(batch.padded_length, ssize(sentence.size()));
  }
  return batch;
}

// FNV-1a over the bytes of 4- or 8-byte values, as make_golden.py computes it.
template <typename T>
std::uint64_t digest(const std::vector<T>& values) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const T& value : values) {
    std::uint64_t bits = 0;
    if constexpr (sizeof(T) == 4) {
      bits = std::bit_cast<std::uint32_t>(value);
    } else {
      bits = std::bit_cast<std::uint64_t>(value);
    }
    for (std::size_t byte = 0; byte < sizeof(T); ++byte) {
      hash = (hash ^ ((bits >> (8 * byte)) & 0xff)) * 0x100000001b3U;
    }
  }
  return hash;
}

inline bool same_bits(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

// Equal to the last bit, order included.
inline testing::AssertionResult same_hypotheses(const std::vector<FinishedHypothesis>& actual,
                                                const std::vector<FinishedHypothesis>& expected) {
  if (actual.size() != expected.size()) {
    return testing::AssertionFailure()
           << actual.size() << " hypotheses, expected " << expected.size();
  }
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const FinishedHypothesis& a = actual[i];
    const FinishedHypothesis& e = expected[i];
    if (a.tokens != e.tokens || !same_bits(a.score, e.score) ||
        !std::equal(a.positional_scores.begin(), a.positional_scores.end(),
                    e.positional_scores.begin(), e.positional_scores.end(), same_bits)) {
      return testing::AssertionFailure()
             << "hypothesis " << i << ": tokens " << testing::PrintToString(a.tokens) << " score "
             << a.score << ", expected " << testing::PrintToString(e.tokens) << " score "
             << e.score;
    }
  }
  return testing::AssertionSuccess();
}

// The code of the Error that the call throws.
template <typename Function>
ErrorCode code_of(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kInternal;
}

}  // namespace elbeam::search
