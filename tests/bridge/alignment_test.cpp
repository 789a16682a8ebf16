#include "fairseq_bridge/alignment.hpp"

#include <elbeam/error.hpp>

#include "bridge/bridge_support.hpp"
#include "fairseq_bridge/result_lines.hpp"
#include "fairseq_bridge/unknown_words.hpp"

namespace elbeam::fairseq {
namespace {

class Alignment : public testing::Test {
 protected:
  Alignment() {
    for (const char* word : {"a", "b", "c"}) dictionary_.add_symbol(word);
    hypothesis_.tokens = {4, 3, 5, 2};
    hypothesis_.positional_scores = {0, 0, 0, 0};
    hypothesis_.attention = {
        {0.1F, 0.2F, 0.7F}, {0.5F, 0.4F, 0.1F}, {0.3F, 0.3F, 0.4F}, {0.0F, 0.0F, 1.0F}};
    sentence_.source = {1, 6, 3, 2};  // pad, c, unk, eos
    sentence_.source_text = "c name";
    sentence_.target = {4, 3, 2};
    sentence_.target_text = "a Name";
  }

  std::string lines() {
    ResultLines lines(options_, {dictionary_, dictionary_, /*has_targets=*/true});
    return lines.add(sentence_, {hypothesis_});
  }

  text::Dictionary dictionary_;
  Hypothesis hypothesis_;
  Sentence sentence_;
  OutputOptions options_;
};

TEST_F(Alignment, HardLeavesOutEosAndPadsOnBothSides) {
  // fairseq.utils.extract_hard_alignment gives [(1, 0), (0, 1), (0, 2)] for these numbers.
  EXPECT_EQ(hard_alignment_text({sentence_.source, hypothesis_, {}}), "1-0 0-1 0-2");
  sentence_.source = {2};
  hypothesis_.attention = {{1}, {1}, {1}, {1}};
  EXPECT_EQ(hard_alignment_text({sentence_.source, hypothesis_, {}}), "");
}

TEST_F(Alignment, SoftTellsEveryTokenEosIncluded) {
  EXPECT_EQ(soft_alignment_text({sentence_.source, hypothesis_, {}}),
            "0.100000,0.200000,0.700000 0.500000,0.400000,0.100000 0.300000,0.300000,0.400000 "
            "0.000000,0.000000,1.000000");
}

TEST_F(Alignment, WithoutAttentionThereIsAnError) {
  hypothesis_.attention.clear();
  EXPECT_THROW(hard_alignment_text({sentence_.source, hypothesis_, {}}), Error);
  EXPECT_THROW(soft_alignment_text({sentence_.source, hypothesis_, {}}), Error);
}

TEST_F(Alignment, LinesFollowTheScores) {
  options_.alignment = PrintAlignment::kHard;
  options_.steps = true;
  EXPECT_TRUE(needs_attention(options_));
  EXPECT_NE(lines().find("P-0\t0.0000 0.0000 0.0000 0.0000\nA-0\t1-0 0-1 0-2\nI-0\t4\n"),
            std::string::npos)
      << lines();
}

TEST_F(Alignment, UnknownWordsBecomeTheirSourceWords) {
  options_.replace_unk = "";
  EXPECT_TRUE(needs_attention(options_));
  EXPECT_EQ(lines().substr(0, lines().find("P-")),
            "S-0\tc name\nT-0\ta Name\nH-0\t0.0\ta c b\nD-0\t0.0\ta c b\n");
  const std::string path = scratch_folder() + "/words";
  write_file(path, "x y\n  c  C  ignored\n");
  options_.replace_unk = path;
  EXPECT_NE(lines().find("H-0\t0.0\ta C b\n"), std::string::npos) << lines();
}

TEST_F(Alignment, UnknownWordsAreReplacedBeforeSubWordsAreJoined) {
  options_.replace_unk = "";
  options_.post_process = "subword_nmt";
  sentence_.source_text = "gro@@ name";
  EXPECT_NE(lines().find("H-0\t0.0\ta grob\n"), std::string::npos) << lines();
}

TEST_F(Alignment, FairseqFailsAtTheFirstUnknownWord) {
  options_.replace_unk = "";
  options_.replace_unk_fails = true;
  EXPECT_FALSE(needs_attention(options_));
  try {
    lines();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFairseqFails);
  }
  hypothesis_.tokens[1] = 6;
  EXPECT_NE(lines().find("H-0\t0.0\ta c b\n"), std::string::npos) << lines();
}

TEST_F(Alignment, WordMapsThatAreNoneAreRefused) {
  const std::string path = scratch_folder() + "/words";
  write_file(path, "a b\n\nc d\n");
  EXPECT_THROW(load_word_map(path), Error);
  write_file(path, "a b\nc \xff\n");
  EXPECT_THROW(load_word_map(path), Error);
  EXPECT_THROW(load_word_map(path + ".missing"), Error);
  EXPECT_THROW(replacement("one two", 2, {}), Error);
}

}  // namespace
}  // namespace elbeam::fairseq
