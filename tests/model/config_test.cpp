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

// What the message of a refused configuration says.
std::string refusal(const json& model) {
  try {
    parse(model);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.what();
    EXPECT_NE(std::string(error.what()).find("--engine torchscript"), std::string::npos)
        << error.what();
    return error.what();
  }
  ADD_FAILURE() << model << " was accepted";
  return "";
}

TEST(TransformerConfig, OtherArchitecturesAreRefusedByName) {
  for (const char* arch : {"fconv", "lstm", "transformer_ulm", "transformer_pointer_generator",
                           "transformer_lm_megatron", "transformer_wmt_en_de_big_pipeline_parallel",
                           "levenshtein_transformer", "hf_gpt2", "wav2vec2", "s2t_transformer"}) {
    EXPECT_NE(refusal({{"arch", arch}}).find(arch), std::string::npos);
  }
  EXPECT_EQ(code_of({{"model", {{"arch", ""}}}}), ErrorCode::kUnsupported);
}

TEST(TransformerConfig, OptionsThatCannotBeRunAreRefusedByName) {
  const std::pair<const char*, json> cases[] = {{"cross_self_attention", true},
                                                {"char_inputs", true},
                                                {"character_embeddings", true},
                                                {"merge_src_tgt_embed", true},
                                                {"quant_noise_scalar", 0.1},
                                                {"base_layers", 1},
                                                {"decoder_xformers_att_config", "{'name': 'x'}"},
                                                {"activation_fn", "mish"}};
  for (const auto& [key, value] : cases) {
    EXPECT_NE(refusal({{"arch", "transformer"}, {key, value}}).find(key), std::string::npos);
  }
}

TEST(TransformerConfig, LanguageModelsArePreNormWithoutEncoder) {
  const TransformerConfig config =
      parse({{"_name", "transformer_lm_gpt2_small"}, {"tokens_per_sample", 77}});
  EXPECT_FALSE(config.has_encoder);
  EXPECT_FALSE(config.cross_attention);
  EXPECT_TRUE(config.decoder.normalize_before);
  EXPECT_EQ(config.decoder.max_positions, 77);
  EXPECT_EQ(
      parse({{"arch", "transformer_lm"}, {"tokens_per_sample", 77}, {"max_target_positions", 99}})
          .decoder.max_positions,
      99);
  EXPECT_FALSE(
      parse({{"arch", "transformer_lm"}, {"no_tie_adaptive_proj", false}}).decoder_final_norm);
  EXPECT_TRUE(parse({{"arch", "transformer_lm"}, {"decoder_final_norm", true}}).decoder_final_norm);
}

TEST(TransformerConfig, KeptLayersAreSorted) {
  const TransformerConfig config = parse({{"encoder_layers_to_keep", "4,0,2"}});
  EXPECT_EQ(config.encoder.kept_layers, (std::vector<std::int64_t>{0, 2, 4}));
  EXPECT_TRUE(config.decoder.kept_layers.empty());
  for (const char* text : {"a", "1,", ",1", "-1", "1;2", "99999"}) {
    EXPECT_EQ(code_of({{"model", {{"decoder_layers_to_keep", text}}}}), ErrorCode::kModel) << text;
  }
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
