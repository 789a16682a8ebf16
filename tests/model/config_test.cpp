// Configurations: fairseq's defaults, what is refused, what has the wrong type.
#include "model/config.hpp"

#include <elbeam/error.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace elbeam::model {
namespace {

using nlohmann::json;

TransformerConfig parse(const json& model) {
  return parse_transformer_config({{"model", model}}, "file.pt");
}

ErrorCode code_of(const json& config) {
  try {
    parse_transformer_config(config, "file.pt");
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("file.pt"), 0u) << error.what();
    return error.code();
  }
  return ErrorCode::kInternal;
}

TEST(TransformerConfig, AbsentKeysHaveBaseArchitecturesDefaults) {
  const TransformerConfig config = parse({{"arch", "transformer"}});
  EXPECT_EQ(config.encoder.heads, 8);
  EXPECT_EQ(config.decoder.max_positions, 1024);
  EXPECT_FALSE(config.encoder.normalize_before);
  EXPECT_TRUE(config.scale_embedding);
  EXPECT_TRUE(config.positional_embeddings);
  EXPECT_EQ(config.activation, kernels::Activation::kRelu);
}

TEST(TransformerConfig, ReadsWhatTheFileSays) {
  const TransformerConfig config = parse({{"arch", "bart_large"},
                                          {"encoder_attention_heads", 16},
                                          {"decoder_normalize_before", true},
                                          {"decoder_learned_pos", true},
                                          {"no_scale_embedding", true},
                                          {"activation_fn", "gelu"},
                                          {"max_source_positions", 64},
                                          {"no_decoder_final_norm", nullptr}});
  EXPECT_EQ(config.encoder.heads, 16);
  EXPECT_TRUE(config.decoder.normalize_before);
  EXPECT_TRUE(config.decoder.learned_positions);
  EXPECT_FALSE(config.scale_embedding);
  EXPECT_EQ(config.activation, kernels::Activation::kGelu);
  EXPECT_EQ(config.encoder.max_positions, 64);
  EXPECT_TRUE(config.decoder_final_norm);
}

TEST(TransformerConfig, OtherArchitecturesAreRefusedByName) {
  for (const char* arch :
       {"fconv", "lstm", "transformer_lm_gpt", "transformer_align", "wav2vec2", ""}) {
    EXPECT_EQ(code_of({{"model", {{"arch", arch}}}}), ErrorCode::kUnsupported) << arch;
  }
  for (const char* key : {"cross_self_attention", "no_cross_attention", "adaptive_input"}) {
    EXPECT_EQ(code_of({{"model", {{"arch", "transformer"}, {key, true}}}}), ErrorCode::kUnsupported)
        << key;
  }
  EXPECT_EQ(code_of({{"model", {{"arch", "transformer"}, {"adaptive_softmax_cutoff", "100,200"}}}}),
            ErrorCode::kUnsupported);
  EXPECT_EQ(code_of({{"model", {{"activation_fn", "mish"}}}}), ErrorCode::kUnsupported);
}

TEST(TransformerConfig, WrongTypesAndRangesAreNamed) {
  EXPECT_EQ(code_of(json::object()), ErrorCode::kModel);
  EXPECT_EQ(code_of({{"model", 3}}), ErrorCode::kModel);
  EXPECT_EQ(code_of({{"model", {{"encoder_attention_heads", "four"}}}}), ErrorCode::kModel);
  EXPECT_EQ(code_of({{"model", {{"encoder_attention_heads", 0}}}}), ErrorCode::kModel);
  EXPECT_EQ(code_of({{"model", {{"decoder_attention_heads", -2}}}}), ErrorCode::kModel);
  EXPECT_EQ(code_of({{"model", {{"max_target_positions", 1LL << 60}}}}), ErrorCode::kModel);
  EXPECT_EQ(code_of({{"model", {{"encoder_normalize_before", "yes"}}}}), ErrorCode::kModel);
  EXPECT_EQ(code_of({{"model", {{"arch", 7}}}}), ErrorCode::kModel);
}

}  // namespace
}  // namespace elbeam::model
