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
  for (const PlacedSentence& each : placed) sentences.push_back(each.source.sentence);
  return sentences;
}

TEST(RunPlaces, AFreePlaceGetsTheNextSentence) {
  RunPlaces places(2, 20, {{5, 9}, {4, 9}, {5, 9}, {1, 9}});
  EXPECT_TRUE(places.to_encode().empty());  // the first two are there
  EXPECT_EQ(sentences_of(places.admit(0)), (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(places.launched(), 2);
  EXPECT_TRUE(places.to_encode().empty());
  EXPECT_TRUE(places.end(0, std::vector<RowRange>{{0, 1}, {1, 1}}).empty());
  EXPECT_EQ(sentences_of(places.end(1, std::vector<RowRange>{{0, 0}, {0, 4}})),
            (std::vector<std::int64_t>{0}));
  EXPECT_EQ(places.launched(), 1);
  EXPECT_TRUE(places.admit(3).empty());
  EXPECT_EQ(places.to_encode().size(), 2U);
  const auto next = places.admit(3);
  ASSERT_EQ(sentences_of(next), (std::vector<std::int64_t>{2}));
  EXPECT_EQ(next[0].place, 0);
  EXPECT_EQ(next[0].source.first_token, 0);
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

// As many sentences as there are places are encoded together; a step has one of 8 sizes.
TEST(RunPlaces, EncodesManyTogether) {
  RunPlaces places(32, 64, std::vector<SentenceNeeds>(69, {1, 99}));
  EXPECT_EQ(places.admit(0).size(), 32U);
  std::vector<RowRange> rows_of(32, {0, 1});
  rows_of[9].count = 0;
  EXPECT_EQ(places.end(1, rows_of).size(), 1U);
  EXPECT_EQ(places.launched(), 32);
  EXPECT_EQ(places.to_encode().size(), 32U);
  EXPECT_EQ(sentences_of(places.admit(2)), (std::vector<std::int64_t>{32}));
  std::fill_n(rows_of.begin(), 12, RowRange{0, 0});
  EXPECT_EQ(places.end(1, rows_of).size(), 11U);  // without the one that has just begun
  EXPECT_EQ(places.launched(), 24);
  EXPECT_TRUE(places.to_encode().empty());
  EXPECT_EQ(places.admit(3).size(), 11U);
}

// Sentences that wait encoded leave the others their tokens.
TEST(RunPlaces, TokensAtOnceAreHalfOfAll) {
  RunPlaces places(3, 20, {{3, 9}, {3, 9}, {3, 9}, {6, 9}, {6, 9}});
  EXPECT_EQ(places.admit(0).size(), 3U);
  EXPECT_EQ(places.end(1, std::vector<RowRange>{{0, 0}, {0, 1}, {0, 1}}).size(), 1U);
  EXPECT_EQ(places.to_encode().size(), 1U);  // the second does not fit beside it
  EXPECT_TRUE(places.admit(2).empty());      // 6 + 6 tokens are more than 10
  EXPECT_EQ(places.end(1, std::vector<RowRange>{{0, 0}, {0, 0}, {0, 1}}).size(), 1U);
  EXPECT_EQ(sentences_of(places.admit(3)), (std::vector<std::int64_t>{3}));
}

// Sources never overlap, are never beyond the room there is, and everyone's turn comes.
TEST(RunPlaces, SourcesHaveTheirTokensToThemselves) {
  std::mt19937 random(5);
  const auto number = [&](std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(random()) % (most - least + 1);
  };
  for (int i = 0; i < 200; ++i) {
    const std::int64_t count = number(1, 9);
    std::vector<SentenceNeeds> needs;
    std::int64_t first = 8;
    for (std::int64_t s = number(1, 40); s > 0; --s) {
      needs.push_back({number(0, 8), number(1, 12)});
      if (ssize(needs.size()) <= count) first += needs.back().tokens;
    }
    const std::int64_t tokens =
        number(first, first + 20) * (ssize(needs.size()) > count ? RunPlaces::kRoom : 1);
    RunPlaces places(count, tokens, needs);
    std::vector<PlacedSentence> running;
    std::vector<SourceAt> encoded;  // and not ended
    std::int64_t begun = 0;
    for (std::int64_t step = 0; places.left(); ++step) {
      ASSERT_LT(step, 1000);
      std::vector<PlacedSentence> admitted = places.admit(step);
      for (const PlacedSentence& placed : admitted) {
        if (placed.source.sentence < count) encoded.push_back(placed.source);
      }
      for (const SourceAt& source : places.to_encode()) {
        EXPECT_LE(source.first_token + source.tokens, tokens);
        for (const SourceAt& other : encoded) {
          EXPECT_TRUE(source.first_token + source.tokens <= other.first_token ||
                      other.first_token + other.tokens <= source.first_token);
        }
        encoded.push_back(source);
      }
      for (const PlacedSentence& more : places.admit(step)) admitted.push_back(more);
      for (const PlacedSentence& placed : admitted) {
        EXPECT_EQ(placed.source.sentence, begun++);
        for (const PlacedSentence& other : running) EXPECT_NE(placed.place, other.place);
        running.push_back(placed);
      }
      EXPECT_LE(ssize(running.size()), count);
      EXPECT_GE(places.launched(), ssize(running.size()));
      EXPECT_LE(places.launched(), count);
      for (const PlacedSentence& ended : places.end_of_time(step)) {
        std::erase_if(running, [&](const auto& each) { return each.place == ended.place; });
        std::erase_if(encoded,
                      [&](const auto& each) { return each.sentence == ended.source.sentence; });
      }
    }
    EXPECT_TRUE(running.empty());
    EXPECT_EQ(begun, ssize(needs.size()));
  }
}

}  // namespace
}  // namespace elbeam::device
