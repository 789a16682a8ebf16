// Against stock fairseq: tests/data/model/make_initialisation_draws.py built the models.
#include "model/initialisation_draws.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

namespace elbeam::model {
namespace {

using Tensors = std::map<std::string, archive::TensorView, std::less<>>;

struct Case {
  nlohmann::json config;
  Tensors tensors;
  std::int64_t draws = 0;
};

std::vector<Case> read_cases() {
  std::ifstream file(std::string(ELBEAM_TEST_DATA) + "/model/initialisation_draws.json");
  std::vector<Case> cases;
  for (const auto& json : nlohmann::json::parse(file)) {
    Case next;
    next.config["model"] = json.at("model");
    for (const auto& [name, shape] : json.at("shapes").items()) {
      next.tensors[name].shape = shape.get<std::vector<std::int64_t>>();
    }
    next.draws = json.at("draws").get<std::int64_t>();
    cases.push_back(std::move(next));
  }
  return cases;
}

TEST(InitialisationDraws, AreStockFairseqs) {
  const std::vector<Case> cases = read_cases();
  ASSERT_GE(cases.size(), 25U);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(initialisation_draws(cases[i].config, cases[i].tensors), cases[i].draws)
        << i << ' ' << cases[i].config.at("model").at("arch");
  }
}

TEST(InitialisationDraws, OldCheckpointsCountTheSame) {
  // in_proj_weight holds what became three projections, and the tied output had no name.
  Case old = read_cases().at(2);  // --share-decoder-input-output-embed
  const std::string prefix = "encoder.layers.0.self_attn.";
  const std::int64_t width = old.tensors.at(prefix + "q_proj.bias").shape[0];
  for (const char* part : {"q", "k", "v"}) {
    old.tensors.erase(prefix + part + "_proj.weight");
    old.tensors.erase(prefix + part + "_proj.bias");
  }
  old.tensors[prefix + "in_proj_weight"].shape = {3 * width, width};
  old.tensors[prefix + "in_proj_bias"].shape = {3 * width};
  ASSERT_EQ(old.tensors.erase("decoder.output_projection.weight"), 1U);
  EXPECT_EQ(initialisation_draws(old.config, old.tensors), old.draws);
}

TEST(InitialisationDraws, OtherModelsAreNotGuessed) {
  const Case known = read_cases().at(0);
  EXPECT_EQ(initialisation_draws(nlohmann::json::object(), known.tensors), std::nullopt);
  Case other = known;
  other.config["model"]["arch"] = "fconv";
  EXPECT_EQ(initialisation_draws(other.config, other.tensors), std::nullopt);
  other = known;
  other.config["model"]["encoder_layers_to_keep"] = "0";
  EXPECT_EQ(initialisation_draws(other.config, other.tensors), std::nullopt);
  other = known;
  other.tensors["encoder.layers.0.novel.weight"].shape = {3};
  EXPECT_EQ(initialisation_draws(other.config, other.tensors), std::nullopt);
  other = known;
  other.tensors["encoder.layers.0.self_attn.novel"].shape = {3};
  EXPECT_EQ(initialisation_draws(other.config, other.tensors), std::nullopt);
}

}  // namespace
}  // namespace elbeam::model
