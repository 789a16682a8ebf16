#include <elbeam/error.hpp>

#include "bridge/bridge_support.hpp"
#include "fairseq_bridge/bleu.hpp"
#include "fairseq_bridge/result_lines.hpp"

#include <cmath>

namespace elbeam::fairseq {
namespace {

TEST(Bleu, IsLibbleus) {
  for (const auto& golden : goldens("bleu")) {
    BleuScorer scorer({});
    for (const auto& pair : golden.at("pairs")) scorer.add(pair.at(0), pair.at(1));
    EXPECT_EQ(scorer.result_string(), golden.at("result").get<std::string>());
  }
}

TEST(Bleu, OfNothingIsZero) {
  BleuScorer scorer({});
  EXPECT_EQ(scorer.result_string(),
            "BLEU4 = 0.00, 0.0/0.0/0.0/0.0 (BP=0.000, ratio=0.000, syslen=0, reflen=0)");
  scorer.add({}, {});
  EXPECT_EQ(scorer.result_string().substr(0, 12), "BLEU4 = 0.00");
}

class Lines : public testing::Test {
 protected:
  Lines() {
    for (const char* word : {"ein", "gro@@", "sser", "hund", "haus"}) dictionary_.add_symbol(word);
  }

  std::int64_t id(const char* word) const { return dictionary_.index(word); }

  Hypothesis hypothesis() const {
    return {{id("ein"), id("gro@@"), id("sser"), 2}, -0.5F, {-0.25F, 0.0F, -1.0F, -0.0F}, "", {}};
  }

  Sentence sentence() const {
    return {7, {1, 1, id("hund"), id("gro@@"), 3, 2}, {id("ein"), 3, id("haus"), 2, 1}};
  }

  text::Dictionary dictionary_;
  OutputOptions options_;
};

TEST_F(Lines, AreFairseqs) {
  ResultLines lines(options_, {dictionary_, dictionary_, /*has_targets=*/true});
  // repr(float(np.float32(-0.5) / np.float32(math.log(2)))) in Python
  EXPECT_EQ(lines.add(sentence(), {hypothesis()}),
            "S-7\thund gro@@ <unk>\n"
            "T-7\tein <<unk>> haus\n"
            "H-7\t-0.7213475108146667\tein gro@@ sser\n"
            "D-7\t-0.7213475108146667\tein gro@@ sser\n"
            "P-7\t-0.3607 0.0000 -1.4427 -0.0000\n");
  EXPECT_EQ(lines.score(),
            "BLEU4 = 0.00, 33.3/0.0/0.0/0.0 (BP=1.000, ratio=1.000, syslen=3, reflen=3)");
}

TEST_F(Lines, PostProcessingCountsWords) {
  options_.post_process = "subword_nmt";
  ResultLines lines(options_, {dictionary_, dictionary_, /*has_targets=*/true});
  EXPECT_EQ(lines.add(sentence(), {hypothesis()}),
            "S-7\thund gro<unk>\n"
            "T-7\tein <<unk>> haus\n"
            "H-7\t-0.7213475108146667\tein grosser\n"
            "D-7\t-0.7213475108146667\tein grosser\n"
            "P-7\t-0.3607 0.0000 -1.4427 -0.0000\n");
  EXPECT_NE(lines.score().find("50.0/0.0/0.0/0.0 (BP=0.607, ratio=0.667, syslen=2, reflen=3)"),
            std::string::npos)
      << lines.score();
}

TEST_F(Lines, BpeDecodesSourcesTargetsAndDLines) {
  options_.bpe.emplace();
  options_.bpe->name = "subword_nmt";
  ResultLines lines(options_, {dictionary_, dictionary_, /*has_targets=*/false});
  EXPECT_EQ(lines.add(sentence(), {hypothesis()}),
            "S-7\thund gro<unk>\n"
            "H-7\t-0.7213475108146667\tein gro@@ sser\n"
            "D-7\t-0.7213475108146667\tein grosser\n"
            "P-7\t-0.3607 0.0000 -1.4427 -0.0000\n");
}

TEST_F(Lines, QuietPrintsNothingAndStillScores) {
  options_.quiet = true;
  ResultLines lines(options_, {dictionary_, dictionary_, /*has_targets=*/true});
  EXPECT_EQ(lines.add(sentence(), {hypothesis(), hypothesis()}), "");
  EXPECT_NE(lines.score().find("syslen=3, reflen=3"), std::string::npos);
}

TEST_F(Lines, JsonHoldsOneObjectASentence) {
  options_.json = true;
  options_.post_process = "subword_nmt";
  ResultLines lines(options_, {dictionary_, dictionary_, /*has_targets=*/true});
  const std::string line = lines.add(sentence(), {hypothesis(), hypothesis()});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json.at("id"), 7);
  EXPECT_EQ(json.at("source"), "hund gro<unk>");
  EXPECT_EQ(json.at("target"), "ein <<unk>> haus");
  ASSERT_EQ(json.at("hypotheses").size(), 2U);
  const auto& first = json.at("hypotheses").at(0);
  EXPECT_EQ(first.at("text"), "ein grosser");
  EXPECT_EQ(first.at("detok"), "ein grosser");
  EXPECT_EQ(first.at("score"), -0.7213475108146667);
  EXPECT_EQ(first.at("tokens"), hypothesis().tokens);
  EXPECT_EQ(first.at("positional_scores").size(), 4U);
}

}  // namespace
}  // namespace elbeam::fairseq
