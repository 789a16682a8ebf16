// --scoring against stock fairseq's own scorers (fairseq/scoring of 0.12.3.1 with sacrebleu 2.6.0),
// fed with the T- lines and first D- lines of debian_de_en/stock_beam5.txt.gz in the order of ids.
#include "fairseq_bridge/text_scorer.hpp"

#include <elbeam/eval/text_file.hpp>

#include <gtest/gtest.h>

namespace elbeam::fairseq {
namespace {

std::string closing_score(const ScoringOptions& options) {
  const std::string path = std::string(ELBEAM_TEST_DATA) + "/debian_de_en/stock_beam5.txt.gz";
  eval::TextFileOptions references;
  references.role = eval::TextRole::kReference;
  const auto hypothesis_file = eval::TextFile::open(path, {});
  const auto reference_file = eval::TextFile::open(path, references);
  TextScorer scorer(options);
  std::vector<std::string> hypothesis;
  std::vector<std::string> reference;
  while (hypothesis_file->next(hypothesis) && reference_file->next(reference)) {
    scorer.add(reference[0], hypothesis[0]);
  }
  EXPECT_EQ(hypothesis_file->segments(), 200);
  return scorer.result_string();
}

TEST(TextScorerTest, GivesStocksLines) {
  EXPECT_EQ(
      closing_score({"sacrebleu"}),
      "BLEU = 32.24 63.2/39.0/27.2/19.5 (BP = 0.953 ratio = 0.954 hyp_len = 1798 ref_len = 1885)");
  EXPECT_EQ(
      closing_score({"sacrebleu", "intl", true}),
      "BLEU = 33.26 65.4/40.5/28.2/20.4 (BP = 0.946 ratio = 0.947 hyp_len = 1808 ref_len = 1909)");
  EXPECT_EQ(
      closing_score({"sacrebleu", "13a", false, true}),
      "BLEU = 63.31 84.6/70.6/62.0/56.7 (BP = 0.936 ratio = 0.937 hyp_len = 9254 ref_len = 9871)");
  EXPECT_EQ(closing_score({"chrf"}), "chrF2 = 54.53");
  EXPECT_EQ(closing_score({"wer", "none"}), "WER: 51.05");
  EXPECT_EQ(closing_score({"wer", "13a", true, false, true}), "WER: 55.49");
  EXPECT_EQ(closing_score({"wer", "none", false, true}), "WER: 41.83");
}

TEST(TextScorerTest, NothingAdded) {
  EXPECT_EQ(TextScorer({"sacrebleu"}).result_string(), "BLEU = 0.00");
  EXPECT_EQ(TextScorer({"wer", "none"}).result_string(), "WER: 0.00");
  EXPECT_EQ(TextScorer({"meteor"}).result_string(), "METEOR: 0.0000");
}

// What sacrebleu 2.6.0 and rouge-score 0.1.2 say of the same lines; fairseq has neither.
TEST(TextScorerTest, TerAndRouge) {
  EXPECT_EQ(closing_score({"ter"}), "TER = 48.52");
  EXPECT_EQ(closing_score({"rouge"}), "ROUGE-1/2/L = 60.02/38.14/58.02");
  EXPECT_EQ(TextScorer({"ter"}).result_string(), "TER = 0.00");
  EXPECT_EQ(TextScorer({"rouge"}).result_string(), "ROUGE-1/2/L = 0.00/0.00/0.00");
}

TEST(TextScorerTest, MeteorOfWords) {
  TextScorer scorer({"meteor"});
  scorer.add("this is a cat", "this is a cat");
  EXPECT_EQ(scorer.result_string(), "METEOR: 0.9922");  // 1 - 0.5 / 4^3
}

}  // namespace
}  // namespace elbeam::fairseq
