#include "fairseq_bridge/generate.hpp"

#include <elbeam/error.hpp>

#include "bridge/bridge_support.hpp"
#include "support/scripted_model.hpp"

#include <algorithm>
#include <cmath>
#include <set>

namespace elbeam::fairseq {
namespace {

constexpr std::int64_t kVocab = 20;

// Copies its source, and mildly prefers smaller ids for the rest of the probability.
void copy_source(const test::ScriptInput& input, std::span<float> log_probs) {
  const std::size_t step = input.history.size();
  const std::int64_t wanted = step < input.source.size() ? input.source[step] : 2;
  double sum = 0.0;
  std::vector<double> weights(log_probs.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = static_cast<std::int64_t>(i) == wanted ? 100.0 : 1.0 / static_cast<double>(i + 1);
    sum += weights[i];
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    log_probs[i] = static_cast<float>(std::log(weights[i] / sum));
  }
}

class Generate : public testing::Test {
 protected:
  Generate() : folder_(scratch_folder()) {
    std::string symbols;
    for (std::int64_t i = 4; i < kVocab; ++i) {
      dictionary_.add_symbol("w" + std::to_string(i));
      symbols += "w" + std::to_string(i) + " 1\n";
    }
    for (std::int64_t i = 0; i < 21; ++i) {
      std::vector<std::int64_t> source;
      for (std::int64_t k = 0; k < 1 + i % 5; ++k) source.push_back(4 + (i + k) % 16);
      source.push_back(2);
      sources_.push_back(source);
    }
    write_mmap(folder_ + "/test.a-b.a", sources_);
    write_mmap(folder_ + "/test.a-b.b", sources_);
    write_file(folder_ + "/dict.a.txt", symbols);
    write_file(folder_ + "/dict.b.txt", symbols);
    options_.task.data.data = folder_;
    options_.search.beam = 2;
    options_.batch.max_sentences = 4;
    options_.batch.multiple = 1;
  }

  std::string run() {
    const Generator generator(std::make_shared<test::ScriptedModel>(kVocab, 50, copy_source), {});
    OutputFile output = OutputFile::create(folder_ + "/out.txt");
    testing::internal::CaptureStderr();
    try {
      const auto task = make_task(options_.task);
      const auto dataset = task->load_split();
      translate_dataset(generator, {options_, *task, *dataset}, output);
    } catch (...) {
      log_ = testing::internal::GetCapturedStderr();
      throw;
    }
    log_ = testing::internal::GetCapturedStderr();
    return read_file(folder_ + "/out.txt");
  }

  static std::vector<std::string> lines_with(const std::string& text, const std::string& prefix) {
    std::vector<std::string> out;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
      if (line.rfind(prefix, 0) == 0) out.push_back(line.substr(prefix.size()));
    }
    return out;
  }

  std::set<std::int64_t> ids(const std::string& text) {
    std::set<std::int64_t> out;
    for (const std::string& line : lines_with(text, "S-")) {
      EXPECT_TRUE(out.insert(std::stoll(line)).second) << "twice: " << line;
    }
    return out;
  }

  std::string folder_;
  std::string log_;
  text::Dictionary dictionary_;
  Sentences sources_;
  GenerateOptions options_;
};

TEST_F(Generate, TranslatesEverySentenceOnce) {
  const std::string text = run();
  EXPECT_EQ(ids(text).size(), sources_.size());
  for (const std::string& line : lines_with(text, "H-")) {
    const std::size_t id = std::stoul(line);
    EXPECT_EQ(line.substr(line.rfind('\t') + 1), dictionary_.string(sources_[id]));
  }
  EXPECT_EQ(lines_with(text, "Generate test with beam=2: BLEU4 = ").size(), 1U);
  EXPECT_NE(text.find("(BP=1.000, ratio=1.000, syslen=61, reflen=61)\n"), std::string::npos)
      << text;
  EXPECT_NE(log_.find("Translated 21 sentences (82 tokens) in "), std::string::npos) << log_;
  EXPECT_NE(log_.find(" | INFO | fairseq_cli.generate | NOTE: hypothesis and token scores are "
                      "output in base 2\n"),
            std::string::npos);
}

TEST_F(Generate, RowsOfABatchAreLongestFirst) {
  options_.batch.max_sentences = 21;
  const auto lines = lines_with(run(), "S-");
  std::size_t before = 100;
  for (const std::string& line : lines) {
    const std::size_t length = sources_[std::stoul(line)].size();
    EXPECT_LE(length, before);
    before = length;
  }
}

TEST_F(Generate, ResultsDoNotDependOnTheBatchSize) {
  auto sorted = [this](std::int64_t size) {
    options_.batch.max_sentences = size;
    auto lines = lines_with(run(), "H-");
    std::sort(lines.begin(), lines.end());
    return lines;
  };
  EXPECT_EQ(sorted(1), sorted(21));
}

TEST_F(Generate, LastBatchIsDroppedByFairseqMainOnly) {
  options_.batch.multiple = 4;
  EXPECT_EQ(ids(run()).size(), 21U);
  EXPECT_NE(log_.find("ragged-batch: "), std::string::npos) << log_;
  options_.quirks = QuirkLog(Compat::kFairseq0122);
  EXPECT_EQ(ids(run()).size(), 21U);
  EXPECT_EQ(log_.find("WARNING"), std::string::npos) << log_;
  options_.quirks = QuirkLog(Compat::kFairseqMain);
  EXPECT_EQ(ids(run()).size(), 20U);
}

TEST_F(Generate, ShardsShareTheBatches) {
  options_.shards = 2;
  const auto first = ids(run());
  options_.shard = 1;
  const auto second = ids(run());
  EXPECT_EQ(first.size() + second.size(), 21U);
  for (const std::int64_t id : first) EXPECT_EQ(second.count(id), 0U);
}

TEST_F(Generate, PrefixIsForced) {
  Sentences targets(sources_.size(), {19, 18, 2});
  write_mmap(folder_ + "/test.a-b.b", targets);
  options_.request.prefix_size = 1;
  for (const std::string& line : lines_with(run(), "H-")) {
    EXPECT_EQ(line.substr(line.rfind('\t') + 1).substr(0, 3), "w19") << line;
  }
}

TEST_F(Generate, WithoutTargetsThereIsNoScore) {
  std::filesystem::remove(folder_ + "/test.a-b.b.idx");
  const std::string text = run();
  EXPECT_EQ(ids(text).size(), 21U);
  EXPECT_TRUE(lines_with(text, "T-").empty());
  EXPECT_EQ(text.find("Generate test"), std::string::npos);
  options_.request.prefix_size = 1;
  EXPECT_THROW(run(), Error);
}

TEST_F(Generate, QuietLeavesTheClosingLine) {
  options_.output.quiet = true;
  const std::string text = run();
  EXPECT_EQ(text.rfind("Generate test with beam=2: BLEU4 = ", 0), 0U);
  EXPECT_EQ(text.find('\n'), text.size() - 1);
}

TEST_F(Generate, JsonOutputIsOnlyJson) {
  options_.output.json = true;
  options_.search.nbest = 2;
  std::istringstream stream(run());
  std::size_t count = 0;
  for (std::string line; std::getline(stream, line); ++count) {
    EXPECT_EQ(nlohmann::json::parse(line).at("hypotheses").size(), 2U);
  }
  EXPECT_EQ(count, 21U);
  EXPECT_NE(log_.find("Generate test with beam=2: BLEU4 = "), std::string::npos);
}

TEST_F(Generate, NothingLeftIsAnError) {
  options_.task.data.max_source_positions = 0;
  options_.skip_invalid_size = true;
  EXPECT_THROW(run(), Error);
}

TEST_F(Generate, OutputThatCannotBeWrittenIsAnError) {
  OutputFile full = OutputFile::create("/dev/full");
  full.append("x");
  EXPECT_THROW(full.flush(), Error);
  EXPECT_THROW(OutputFile::create(folder_ + "/missing/out.txt"), Error);
}

}  // namespace
}  // namespace elbeam::fairseq
