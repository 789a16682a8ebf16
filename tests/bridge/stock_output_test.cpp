// The stored outputs of stock fairseq-generate, reproduced with a model that says what stock's
// model said: everything but the numbers of the model is checked, line by line and in order.
#include "bridge/bridge_support.hpp"
#include "fairseq_bridge/generate.hpp"
#include "support/scripted_model.hpp"

#include <cmath>
#include <cstdlib>
#include <map>

namespace elbeam::fairseq {
namespace {

std::string shared_folder() {
  const char* folder = std::getenv("ELBEAM_SHARED");
  return folder != nullptr ? folder : std::string(ELBEAM_TEST_DATA) + "/../../../shared";
}

// Lines of fairseq's output without what only the model decides: "H-4<tab>text", no P- lines.
std::vector<std::string> comparable(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    const std::string kind = line.substr(0, 2);
    if (kind == "S-" || kind == "T-" || line.rfind("Generate ", 0) == 0) out.push_back(line);
    if (kind == "H-" || kind == "D-") {
      const std::size_t tab = line.find('\t');
      out.push_back(line.substr(0, tab) + line.substr(line.find('\t', tab + 1)));
    }
  }
  return out;
}

// Arguments of a line "name | generate | arguments"; quotes do not occur in the lines used. Of two
// lines with one name the later one's output is stored.
std::vector<std::string> arguments_of(const std::string& toy, const std::string& name) {
  const std::string head = name + " | generate | ";
  std::vector<std::string> arguments;
  for (const char* file : {"/r1.txt", "/r2.txt", "/r3.txt", "/r4.txt", "/r5.txt", "/r6.txt"}) {
    std::istringstream lines(read_file(toy + file));
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind(head, 0) != 0) continue;
      arguments.clear();
      std::istringstream words(line.substr(head.size()));
      for (std::string word; words >> word;) arguments.push_back(word);
    }
  }
  EXPECT_FALSE(arguments.empty()) << "no line for " << name;
  if (!arguments.empty()) arguments.front() = toy + "/" + arguments.front();
  return arguments;
}

// Runs the command line with a model that gives each source the hypothesis that `stock` has for it.
std::string replay(const std::vector<std::string>& arguments, const std::string& stock) {
  GenerateOptions options = parse_command_line(arguments).options;
  const auto task = make_task(options.task);
  const auto split = task->load_split();
  const text::Dictionary& target_dictionary = task->target_dictionary();
  std::map<std::vector<std::int64_t>, std::vector<std::int64_t>> answers;
  for (const std::string& line : comparable(stock)) {
    if (line.rfind("H-", 0) != 0) continue;
    const std::size_t tab = line.find('\t');
    answers[split->source(std::stoll(line.substr(2)))] =
        target_dictionary.encode_line(line.substr(tab + 1));
  }
  const auto script = [&](const test::ScriptInput& input, std::span<float> log_probs) {
    const auto& answer = answers.at({input.source.begin(), input.source.end()});
    const std::size_t step = std::min(input.history.size(), answer.size() - 1);
    const float rest = std::log(1e-6F / static_cast<float>(log_probs.size()));
    std::fill(log_probs.begin(), log_probs.end(), rest);
    log_probs[usize(answer[step])] = -1e-6F;
  };
  const Generator generator(
      std::make_shared<test::ScriptedModel>(target_dictionary.size(), 1024, script), {});
  const std::string path = scratch_folder() + "/out.txt";
  OutputFile output = OutputFile::create(path);
  translate_dataset(generator, {options, *task, *split}, output);
  return read_file(path);
}

class ToyOutput : public testing::TestWithParam<const char*> {};

TEST_P(ToyOutput, IsReproduced) {
  const std::string toy = shared_folder() + "/reference/toy";
  if (!std::filesystem::exists(toy)) GTEST_SKIP() << toy << " is not here";
  const std::string stock = read_file(toy + "/runs/" + GetParam() + ".out");
  std::vector<std::string> arguments = arguments_of(toy, GetParam());
  arguments.insert(arguments.end(), {"--compat", "fairseq-main"});
  const auto expected = comparable(stock);
  EXPECT_GT(expected.size(), 60U);
  EXPECT_EQ(comparable(replay(arguments, stock)), expected);
}

INSTANTIATE_TEST_SUITE_P(Stock, ToyOutput,
                         testing::Values("tf_nobpe", "tf_bsz", "tf_bsz1", "tf_valid", "tf_valid1",
                                         "tf_v200", "tf_ngram", "tf_prefix", "tf_minlen", "pfx_pad",
                                         "pfx_big", "nospl", "unnorm", "lenp0", "lenp2", "temp",
                                         "pp_none", "sh_ns", "sh_dw", "sh_dw0", "maxlenb1",
                                         "maxlenb2", "old_args", "tf2_solo", "ng0", "ng3",
                                         "raw_plain", "b_gen", "b_gen1", "b_trunc", "b_skip"),
                         [](const auto& test) { return std::string(test.param); });

TEST(ModelOutput, QuestionsWithByteBpeAreReproduced) {
  const std::string model = shared_folder() + "/models/squad_qg_bart";
  if (!std::filesystem::exists(model + "/stock_beam5.txt.gz"))
    GTEST_SKIP() << model << " is not here";
  const std::string plain = scratch_folder() + "_stock.txt";
  ASSERT_EQ(std::system(("gzip -dc " + model + "/stock_beam5.txt.gz > " + plain).c_str()), 0);
  const std::string stock = read_file(plain);
  auto expected = comparable(stock);
  expected.pop_back();  // the closing line is sacreBLEU's
  auto actual = comparable(
      replay({model + "/data-bin", "--path", "m.pt", "-s", "src", "-t", "tgt", "--truncate-source",
              "--batch-size", "16", "--bpe", "gpt2", "--gpt2-encoder-json", model + "/encoder.json",
              "--required-batch-size-multiple", "1", "--beam", "1"},
             stock));
  actual.pop_back();
  EXPECT_EQ(expected.size(), 4000U);
  EXPECT_EQ(actual, expected);
}

}  // namespace
}  // namespace elbeam::fairseq
