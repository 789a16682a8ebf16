// Hugging Face's GPT-2 layout against transformers.
#include "model/gpt2.hpp"

#include "base/checked_math.hpp"
#include "model/transformer.hpp"
#include "search/decode_loop.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>
#include <fstream>

namespace elbeam::model {
namespace {

using nlohmann::json;

const std::string kFolder = std::string(ELBEAM_TEST_DATA) + "/gpt2_tiny";
constexpr std::int64_t kEnd = 30;  // of the 48 types

std::unique_ptr<Transformer> load(Attention attention, DType dtype) {
  TransformerOptions options;
  options.attention = attention;
  options.dtype = dtype;
  options.threads = 1;
  return load_transformer(gpt2_as_fairseq(archive::Checkpoint::open(kFolder)), options);
}

json reference() {
  std::ifstream file(kFolder + "/reference.json");
  return json::parse(file);
}

std::int64_t ours(std::int64_t id) { return id == kEnd ? 2 : id + 4 - (id > kEnd ? 1 : 0); }

std::vector<std::int64_t> ours(const json& ids) {
  std::vector<std::int64_t> result;
  for (const json& id : ids) result.push_back(ours(id.get<std::int64_t>()));
  return result;
}

TEST(Gpt2, LogProbabilitiesEqualTransformers) {
  const json stock = reference();
  for (const Attention attention : {Attention::kMha, Attention::kEl}) {
    for (const DType dtype : {DType::kFp32, DType::kFp64}) {
      const auto model = load(attention, dtype);
      ASSERT_EQ(model->vocab_size(), 48 - 1 + 4);
      EXPECT_EQ(model->max_decoder_positions(), 24);
      for (const json& record : stock.at("sentences")) {
        const auto state = model->start({{{2}}, 1}, {1, 24, 1.0, false});
        std::vector<std::int64_t> tokens = ours(record.at("prompt"));
        tokens.insert(tokens.begin(), 2);
        std::vector<float> log_probs(usize(model->vocab_size()));
        for (std::size_t t = 0; t < tokens.size(); ++t) {
          const std::vector<std::int64_t> token{tokens[t]}, parent{0};
          state->step({token, parent}, {log_probs, {}});
          const json& line = record.at("log_probs").at(t);
          for (std::int64_t id = 0; id < 48; ++id) {
            ASSERT_NEAR(static_cast<double>(log_probs[usize(ours(id))]),
                        line.at(usize(id)).get<double>(), dtype == DType::kFp64 ? 2e-6 : 1e-4);
          }
          for (const std::size_t special : {0u, 1u, 3u})
            ASSERT_EQ(log_probs[special], -HUGE_VALF) << "never predicted";
        }
      }
    }
  }
}

TEST(Gpt2, GreedyAndBeamSearchEqualTransformers) {
  for (const Attention attention : {Attention::kMha, Attention::kEl}) {
    const auto model = load(attention, DType::kFp32);
    const json all = reference();
    for (const json& stock : all.at("beams")) {
      const std::vector<std::int64_t> prompt = ours(stock.at("prompt"));
      const SourceBatch batch{{{2}}, 1};
      search::DecodeRequest request;
      request.batch = &batch;
      request.prefix_tokens = {prompt};
      request.options.beam = request.options.nbest = stock.at("beam").get<std::int64_t>();
      // end-of-text is forbidden before, forced after the eight tokens that are compared.
      request.options.min_len = ssize(prompt.size()) + 8;
      request.options.max_len_b = static_cast<double>(request.options.min_len);
      request.options.normalize_scores = false;
      const search::DecodeResult result = search::decode(*model, request);
      std::vector<std::vector<std::int64_t>> found, expected;
      for (const auto& hypothesis : result.sentences.at(0)) {
        const auto begin = hypothesis.tokens.begin() + ssize(prompt.size());
        found.emplace_back(begin, begin + 8);
      }
      for (const json& ids : stock.at("continuations")) expected.push_back(ours(ids));
      // The forced end adds its own score, so that the order among the beams is not compared.
      std::sort(found.begin(), found.end());
      std::sort(expected.begin(), expected.end());
      EXPECT_EQ(found, expected) << "beam " << stock.at("beam");
    }
  }
}

TEST(Gpt2, TheDictionaryNumbersGpt2sIds) {
  const auto file = gpt2_as_fairseq(archive::Checkpoint::open(kFolder));
  const std::string* text = file->extra_file("dict.src.txt");
  ASSERT_NE(text, nullptr);
  EXPECT_TRUE(text->starts_with("<s>\n<pad>\n</s>\n<unk>\n0\n1\n")) << *text;
  EXPECT_TRUE(text->ends_with(
      "\n29\n31\n32\n33\n34\n35\n36\n37\n38\n39\n40\n41\n42\n43\n44\n45\n46\n47\n"));
  EXPECT_EQ(file->extra_file("other"), nullptr);
}

// The folder with one thing changed in config.json.
testing::AssertionResult refused_with(const char* key, const json& value, ErrorCode code,
                                      const std::string& part = "") {
  const std::string folder = testing::TempDir() + "elbeam_gpt2";
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(kFolder + "/model.safetensors", folder + "/model.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  json config;
  std::ifstream(kFolder + "/config.json") >> config;
  config[key] = value;
  std::ofstream(folder + "/config.json") << config;
  return test::throws(code, part.empty() ? std::string(key) : part, [&] {
    load_transformer(gpt2_as_fairseq(archive::Checkpoint::open(folder)), {});
  });
}

TEST(Gpt2, OtherModelsAndSizesAreRefused) {
  EXPECT_TRUE(refused_with("model_type", "llama", ErrorCode::kUnsupported));
  EXPECT_TRUE(refused_with("activation_function", "mish", ErrorCode::kUnsupported));
  EXPECT_TRUE(refused_with("layer_norm_epsilon", 1e-6, ErrorCode::kUnsupported));
  EXPECT_TRUE(refused_with("scale_attn_weights", false, ErrorCode::kUnsupported));
  EXPECT_TRUE(refused_with("scale_attn_by_inverse_layer_idx", true, ErrorCode::kUnsupported));
  EXPECT_TRUE(refused_with("add_cross_attention", true, ErrorCode::kUnsupported));
  EXPECT_TRUE(refused_with("n_embd", 0, ErrorCode::kModel));
  EXPECT_TRUE(refused_with("n_embd", "x", ErrorCode::kModel));
  EXPECT_TRUE(refused_with("eos_token_id", 48, ErrorCode::kModel));
  EXPECT_TRUE(refused_with("n_layer", 1, ErrorCode::kModel));
  EXPECT_TRUE(refused_with("n_head", std::int64_t{1} << 40, ErrorCode::kModel));
  EXPECT_TRUE(refused_with("vocab_size", 47, ErrorCode::kModel, "wte.weight"));
  EXPECT_TRUE(refused_with("n_positions", 25, ErrorCode::kModel, "wpe.weight"));
  EXPECT_TRUE(refused_with("n_inner", 65, ErrorCode::kModel, "c_fc.weight"));
}

}  // namespace
}  // namespace elbeam::model
