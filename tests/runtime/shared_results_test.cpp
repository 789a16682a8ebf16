// What is known of sentences that ask for the same, within a bound of bytes.
#include "runtime/shared_results.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace elbeam::runtime {
namespace {

GenerateRequest one_sentence(std::int64_t word) {
  GenerateRequest request;
  request.batch.sentences = {{word, 2}};
  request.batch.padded_lengths = {2};
  return request;
}

SentenceResult result_of(std::size_t tokens) {
  Hypothesis hypothesis;
  hypothesis.tokens.assign(tokens, 7);
  hypothesis.positional_scores.assign(tokens, -1.0F);
  return {{hypothesis}};
}

TEST(SharedResults, TheOldestAreForgottenWhereBytesRunOut) {
  constexpr std::int64_t kMost = 100'000;
  SharedResults known(SearchOptions{}, kMost);
  for (std::int64_t word = 0; word < 50; ++word) {
    const auto found = known.find(one_sentence(word), 0);
    ASSERT_TRUE(found.fresh);
    known.keep(*found.entry, result_of(1000));  // 12,000 bytes and a little
    EXPECT_LE(known.bytes(), kMost);
  }
  EXPECT_GT(known.bytes(), kMost - 13'000);
  const auto last = known.find(one_sentence(49), 0);
  EXPECT_FALSE(last.fresh);
  ASSERT_TRUE(last.entry->result.has_value());
  EXPECT_EQ(last.entry->result->hypotheses[0].tokens.size(), 1000U);
  EXPECT_TRUE(known.find(one_sentence(0), 0).fresh);
}

TEST(SharedResults, ManySmallEntriesCountToo) {
  SharedResults known(SearchOptions{}, 10'000);
  for (std::int64_t word = 0; word < 1000; ++word) known.find(one_sentence(word), 0);
  EXPECT_LE(known.bytes(), 10'000);
  EXPECT_TRUE(known.find(one_sentence(0), 0).fresh);
}

// Whoever waits for it has it still, and its result is not kept.
TEST(SharedResults, AnEntryMayBeForgottenBeforeItsResultIsThere) {
  SharedResults known(SearchOptions{}, 1000);
  const auto first = known.find(one_sentence(0), 0);
  for (std::int64_t word = 1; word < 20; ++word) known.find(one_sentence(word), 0);
  EXPECT_FALSE(first.entry->known);
  const std::int64_t before = known.bytes();
  known.keep(*first.entry, result_of(10));
  EXPECT_FALSE(first.entry->result.has_value());
  EXPECT_EQ(known.bytes(), before);
  // One that alone is too large is not kept.
  const auto large = known.find(one_sentence(100), 0);
  known.keep(*large.entry, result_of(1000));
  EXPECT_FALSE(large.entry->known);
  EXPECT_LE(known.bytes(), 1000);
  EXPECT_TRUE(known.find(one_sentence(100), 0).fresh);
}

}  // namespace
}  // namespace elbeam::runtime
