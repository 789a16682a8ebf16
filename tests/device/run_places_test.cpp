// Which sentences begin where and when, without a device.
#include "device/run_places.hpp"

#include "base/checked_math.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace elbeam::device {
namespace {

using kernels::RowRange;

std::vector<std::int64_t> sentences_of(const std::vector<PlacedSentence>& placed) {
  std::vector<std::int64_t> sentences;
  for (const PlacedSentence& each : placed) sentences.push_back(each.sentence);
  return sentences;
}

TEST(RunPlaces, AFreePlaceGetsTheNextSentence) {
  RunPlaces places(2, 10, {{5, 9}, {4, 9}, {5, 9}, {1, 9}});
  EXPECT_EQ(sentences_of(places.admit(0)), (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(places.launched(), 2);
  EXPECT_TRUE(places.admit(1).empty());
  EXPECT_TRUE(places.end(0, std::vector<RowRange>{{0, 1}, {1, 1}}).empty());
  EXPECT_EQ(sentences_of(places.end(1, std::vector<RowRange>{{0, 0}, {0, 4}})),
            (std::vector<std::int64_t>{0}));
  EXPECT_EQ(places.launched(), 1);
  const auto next = places.admit(3);
  ASSERT_EQ(sentences_of(next), (std::vector<std::int64_t>{2}));
  EXPECT_EQ(next[0].place, 0);
  EXPECT_EQ(next[0].first_token, 0);
  EXPECT_EQ(places.longest(5), 5);
  // What is known of steps before it began is of the sentence that was there.
  EXPECT_TRUE(places.end(2, std::vector<RowRange>{{0, 0}, {0, 4}}).empty());
  EXPECT_EQ(sentences_of(places.end(4, std::vector<RowRange>{{0, 0}, {0, 0}})),
            (std::vector<std::int64_t>{2, 1}));
  EXPECT_TRUE(places.left());
  EXPECT_EQ(sentences_of(places.admit(5)), (std::vector<std::int64_t>{3}));
  EXPECT_TRUE(places.end_of_time(12).empty());
  EXPECT_EQ(sentences_of(places.end_of_time(13)), (std::vector<std::int64_t>{3}));
  EXPECT_FALSE(places.left());
}

// 32 places: 4 sentences are encoded together, or the last ones.
TEST(RunPlaces, NotOneByOne) {
  RunPlaces places(32, 32, std::vector<SentenceNeeds>(37, {1, 99}));
  EXPECT_EQ(places.admit(0).size(), 32U);
  std::vector<RowRange> rows_of(32, {0, 1});
  for (const std::size_t p : {3U, 9U, 20U}) {
    rows_of[p].count = 0;
    EXPECT_EQ(places.end(1, rows_of).size(), 1U);
    EXPECT_TRUE(places.admit(2).empty());
  }
  EXPECT_EQ(places.launched(), 32);
  rows_of[21].count = 0;
  EXPECT_EQ(places.end(1, rows_of).size(), 1U);
  EXPECT_EQ(places.launched(), 28);
  EXPECT_EQ(sentences_of(places.admit(2)), (std::vector<std::int64_t>{32, 33, 34, 35}));
  rows_of[0].count = 0;
  EXPECT_EQ(places.end(2, rows_of).size(), 5U);  // those, too, that have just begun
  EXPECT_EQ(sentences_of(places.admit(3)), (std::vector<std::int64_t>{36}));
}

// Sources never overlap, are never beyond the room there is, and everyone's turn comes.
TEST(RunPlaces, SourcesHaveTheirTokensToThemselves) {
  std::mt19937 random(5);
  const auto number = [&](std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(random()) % (most - least + 1);
  };
  for (int i = 0; i < 200; ++i) {
    const std::int64_t tokens = number(8, 60);
    const std::int64_t count = number(1, 9);
    std::vector<SentenceNeeds> needs;
    for (std::int64_t s = number(1, 40); s > 0; --s) needs.push_back({number(0, 8), number(1, 12)});
    RunPlaces places(count, tokens, needs);
    std::vector<PlacedSentence> running;
    std::int64_t begun = 0;
    for (std::int64_t step = 0; places.left(); ++step) {
      ASSERT_LT(step, 1000);
      for (const PlacedSentence& placed : places.admit(step)) {
        EXPECT_EQ(placed.sentence, begun++);
        EXPECT_LE(placed.first_token + needs[usize(placed.sentence)].tokens, tokens);
        for (const PlacedSentence& other : running) {
          EXPECT_NE(placed.place, other.place);
          EXPECT_TRUE(
              placed.first_token + needs[usize(placed.sentence)].tokens <= other.first_token ||
              other.first_token + needs[usize(other.sentence)].tokens <= placed.first_token);
        }
        running.push_back(placed);
      }
      EXPECT_LE(ssize(running.size()), count);
      EXPECT_GE(places.launched(), ssize(running.size()));
      EXPECT_LE(places.launched(), count);
      for (const PlacedSentence& ended : places.end_of_time(step)) {
        std::erase_if(running, [&](const auto& each) { return each.place == ended.place; });
      }
    }
    EXPECT_TRUE(running.empty());
    EXPECT_EQ(begun, ssize(needs.size()));
  }
}

}  // namespace
}  // namespace elbeam::device
