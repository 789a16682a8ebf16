#include "fairseq_bridge/lm_statistics.hpp"

#include "bridge/bridge_support.hpp"
#include "text/python_format.hpp"

#include <limits>

namespace elbeam::fairseq {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::string result_line(const LmStatistics& statistics) {
  return "Loss (base 2): " + text::python_fixed(static_cast<double>(statistics.loss()), 4) +
         ", Perplexity: " + text::python_fixed(static_cast<double>(statistics.perplexity()), 2);
}

// tests/data/tools/lm_statistics.json, made by make_lm_statistics.py beside it.
TEST(LmStatistics, AreFairseqs) {
  const auto golden =
      nlohmann::json::parse(read_file(std::string(ELBEAM_TEST_DATA) + "/tools/lm_statistics.json"));
  text::Dictionary dictionary;
  for (const auto& word : golden.at("words")) dictionary.add_symbol(word);
  ASSERT_FALSE(golden.at("cases").empty());
  for (const auto& stock : golden.at("cases")) {
    LmStatisticsOptions options;
    if (!stock.at("mark").is_null()) options.bpe_mark = stock.at("mark");
    options.word_probs = options.word_stats = true;
    LmStatistics statistics(dictionary, options);
    std::vector<std::string> lines;
    for (const auto& sample : stock.at("samples")) {
      lines.push_back(statistics.add({sample.at("id"), sample.at("tokens"), sample.at("scores")}));
    }
    EXPECT_EQ(lines, stock.at("probs").get<std::vector<std::string>>());
    EXPECT_EQ(statistics.word_lines(), stock.at("stats").get<std::vector<std::string>>());
    EXPECT_EQ(result_line(statistics), stock.at("result").get<std::string>());
  }
}

TEST(LmStatistics, LeaveOutInfiniteScores) {
  text::Dictionary dictionary;
  for (const char* word : {"a", "b", "c"}) dictionary.add_symbol(word);
  LmStatistics statistics(dictionary, {std::nullopt, /*word_probs=*/true, /*word_stats=*/false});
  EXPECT_EQ(statistics.add({3, {4, 5, 6}, {-1.0F, -kInf, -3.0F}}),
            "3 a [-1.000000]\tc [-3.000000]");
  EXPECT_EQ(statistics.add({4, {5}, {-kInf}}), "4 ");
  EXPECT_FLOAT_EQ(statistics.loss(), 2.0F / 0.6931472F);
  EXPECT_TRUE(statistics.word_lines().empty());
}

}  // namespace
}  // namespace elbeam::fairseq
