// Model files that torch itself wrote, and what may vary between legal ones.
#include "archive/model_files.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace elbeam::test {
namespace {

const std::string kData = ELBEAM_TEST_DATA;

double half_value(std::uint16_t bits) {
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  const int exponent = (bits >> 10) & 0x1f;
  if (exponent == 0) return sign * std::ldexp(bits & 0x3ff, -24);
  return sign * std::ldexp(1024 + (bits & 0x3ff), exponent - 25);
}

double bfloat16_value(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

template <typename T>
void expect_values(const Checkpoint& file, const std::string& name,
                   const std::vector<double>& values, double (*convert)(T)) {
  const auto it = file.tensors().find(name);
  ASSERT_NE(it, file.tensors().end()) << name;
  std::vector<double> got;
  for (const T value : elements<T>(it->second)) got.push_back(convert(value));
  EXPECT_EQ(got, values) << name;
}

template <typename T>
double widen(T value) {
  return static_cast<double>(value);
}

// types.pt and types_legacy.pt hold the same checkpoint; see tests/data/archive/make.py.
class TorchFile : public testing::TestWithParam<const char*> {
 protected:
  TorchFile() : file_(Checkpoint::open(kData + "/archive/" + GetParam())) {}
  const TensorView& tensor(const char* name) const { return file_->tensors().at(name); }
  std::unique_ptr<Checkpoint> file_;
};

TEST_P(TorchFile, EveryElementTypeIsRead) {
  const std::vector<double> halves{-1, -0.5, 0, 0.5, 1};
  const std::vector<double> wholes{-1, 0, 0, 0, 1};
  expect_values<float>(*file_, "float32", halves, widen<float>);
  expect_values<double>(*file_, "float64", halves, widen<double>);
  expect_values<std::uint16_t>(*file_, "float16", halves, half_value);
  expect_values<std::uint16_t>(*file_, "bfloat16", halves, bfloat16_value);
  expect_values<std::int64_t>(*file_, "int64", wholes, widen<std::int64_t>);
  expect_values<std::int32_t>(*file_, "int32", wholes, widen<std::int32_t>);
  expect_values<std::int16_t>(*file_, "int16", wholes, widen<std::int16_t>);
  expect_values<std::int8_t>(*file_, "int8", wholes, widen<std::int8_t>);
  expect_values<std::uint8_t>(*file_, "bool", {0, 1, 0, 1, 0}, widen<std::uint8_t>);
  for (const char* name :
       {"float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "bool"}) {
    EXPECT_STREQ(archive::tensor_type_name(tensor(name).type), name);
  }
}

TEST_P(TorchFile, ViewsKeepTheirShapesAndStrides) {
  EXPECT_EQ(tensor("transposed").shape, (std::vector<std::int64_t>{3, 2}));
  EXPECT_FALSE(tensor("transposed").is_contiguous());
  expect_values<float>(*file_, "transposed", {-1, 0.5, -0.5, 1, 0, 1.5}, widen<float>);
  expect_values<float>(*file_, "row", {0.5, 1, 1.5}, widen<float>);
  expect_values<float>(*file_, "every_other", {-0.5, 0.5, 1.5, 2.5}, widen<float>);
  expect_values<float>(*file_, "parameter", {-1, -0.5, 0, 0.5}, widen<float>);
  expect_values<float>(*file_, "scalar", {1.5}, widen<float>);
  EXPECT_TRUE(tensor("scalar").shape.empty());
  EXPECT_TRUE(tensor("parameter").is_contiguous());
  EXPECT_EQ(tensor("empty").shape, (std::vector<std::int64_t>{0, 3}));
  EXPECT_EQ(tensor("empty").element_count(), 0);
}

TEST_P(TorchFile, TiedTensorsShareTheFilesBytes) {
  EXPECT_EQ(tensor("encoder.embed_tokens.weight").data, tensor("decoder.embed_tokens.weight").data);
  EXPECT_EQ(tensor("row").data, tensor("transposed").data + 3 * sizeof(float));
  EXPECT_EQ(file_->tensors().size(), 17U);
}

TEST_P(TorchFile, NamespaceIsModelAndTask) {
  const nlohmann::json options = {{"arch", "transformer"}, {"encoder_layers", 2},
                                  {"dropout", 0.25},       {"share", true},
                                  {"none", nullptr},       {"betas", {0.9, 0.98}},
                                  {"task", "translation"}};  // fairseq's default
  EXPECT_EQ(file_->config(), (nlohmann::json{{"model", options}, {"task", options}}));
  EXPECT_EQ(file_->extra_file("dict.src.txt"), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Layouts, TorchFile, testing::Values("types.pt", "types_legacy.pt"),
                         [](const auto& layout) {
                           return std::string(layout.index == 0 ? "Zip" : "Legacy");
                         });

TEST(Open, LayoutIsRecognised) {
  using archive::CheckpointFormat;
  const auto format = [](const std::string& name) {
    return Checkpoint::open(kData + "/archive/" + name)->format();
  };
  EXPECT_EQ(format("types.pt"), CheckpointFormat::kFairseqZip);
  EXPECT_EQ(format("types_legacy.pt"), CheckpointFormat::kFairseqLegacy);
  EXPECT_EQ(format("script.ts.pt"), CheckpointFormat::kElbeamArchive);
}

TEST(Open, ScriptedModulesAreNamedByTheirPath) {
  const auto file = Checkpoint::open(kData + "/archive/script.ts.pt");
  std::vector<std::string> names;
  for (const auto& [name, view] : file->tensors()) names.push_back(name);
  std::vector<std::string> expected;
  for (const char* side : {"decoder", "encoder"}) {
    for (const char* name : {"q_proj.bias", "q_proj.weight", "small", "unused", "version"}) {
      expected.push_back(std::string(side) + ".layers.0." + name);
    }
  }
  EXPECT_EQ(names, expected);
  EXPECT_EQ(file->tensors().at(expected[1]).data, file->tensors().at(expected[6]).data);
  expect_values<float>(*file, "encoder.layers.0.q_proj.weight", {-1, -0.5, 0, 0.5, 1, 1.5},
                       widen<float>);
  expect_values<std::uint16_t>(*file, "decoder.layers.0.small", {-1, -0.5, 0, 0.5}, half_value);
  EXPECT_EQ(file->config().at("model").at("arch"), "transformer");
  EXPECT_EQ(file->config().at("task").at("_name"), "translation");
  EXPECT_EQ(file->config().at("elbeam"),
            (nlohmann::json{{"format_version", 1}, {"kind", "seq2seq"}}));
  ASSERT_NE(file->extra_file("dict.src.txt"), nullptr);
  EXPECT_EQ(*file->extra_file("dict.src.txt"), "a 2\nb 1\n");
  EXPECT_EQ(*file->extra_file("dict.tgt.txt"), "c 1\n");
  EXPECT_EQ(file->extra_file("config.json"), nullptr);
}

// cfg as OmegaConf's DictConfig, as dict with a Namespace inside, and args as Namespace: the same
// training run, saved in three ways.
TEST(Open, ConfigurationsOfAllAgesAgree) {
  const auto open = [](const char* name) {
    return Checkpoint::open(kData + "/toy/ckpt/" + name)->config();
  };
  const nlohmann::json current = open("tf.pt");
  EXPECT_EQ(open("tf_legacy.pt"), current);
  const nlohmann::json dict_config = open("old_dictconfig.pt");
  const nlohmann::json args = open("old_args.pt");
  for (const char* option :
       {"arch", "encoder_layers", "decoder_attention_heads", "dropout", "share_all_embeddings",
        "activation_fn", "encoder_normalize_before", "no_cross_attention"}) {
    EXPECT_TRUE(current.at("model").contains(option)) << option;
    EXPECT_EQ(dict_config.at("model").value(option, nlohmann::json()),
              current.at("model").at(option));
    EXPECT_EQ(args.at("model").value(option, nlohmann::json()), current.at("model").at(option));
  }
  EXPECT_EQ(dict_config.at("task").at("_name"), "translation");
  EXPECT_EQ(args.at("task"), args.at("model"));
}

TEST(Open, LayoutsOfTheToyModelHoldTheSameTensors) {
  const auto zip = Checkpoint::open(kData + "/toy/ckpt/tf.pt");
  const auto legacy = Checkpoint::open(kData + "/toy/ckpt/tf_legacy.pt");
  EXPECT_EQ(zip->format(), archive::CheckpointFormat::kFairseqZip);
  EXPECT_EQ(legacy->format(), archive::CheckpointFormat::kFairseqLegacy);
  EXPECT_GT(zip->tensors().size(), 30U);
  EXPECT_TRUE(content(*zip) == content(*legacy));
}

TEST(Open, FileMayDisappearAfterwards) {
  const auto file = open_bytes(zip_model().bytes);
  EXPECT_EQ(elements<float>(file->tensors().at("weight")), (std::vector<float>{0, 1, 2, 3, 4, 5}));
}

TEST(Open, SizesBeforeTheDataAreLegalToo) {
  auto entries = zip_entries(checkpoint_pickle(py::tensor({})));
  for (ZipEntrySpec& entry : entries) entry.described = false;
  EXPECT_EQ(content(*open_bytes(write_zip(entries).bytes)),
            content(*open_bytes(zip_model().bytes)));
}

TEST(Open, TopFolderMayHaveLettersOfAnyScript) {
  auto entries = zip_entries(checkpoint_pickle(py::tensor({})));
  for (ZipEntrySpec& entry : entries) entry.name.replace(0, 5, "mod\xc3\xa8le (2)");
  EXPECT_EQ(open_bytes(write_zip(entries).bytes)->tensors().size(), 1U);
}

// Python 2 wrote OrderedDict([[key, value], ...]), torch.save of a Parameter wraps the tensor, and
// protocols 0 to 5 have their own ways to write everything.
TEST(Open, OlderAndNewerWaysToWriteTheSame) {
  const std::string expected = content(*open_bytes(zip_model().bytes));
  const std::string weight = py::tensor({});
  const auto root = [](const std::string& model) {
    return py::pickle(py::dict({{"args", arguments()}, {"model", model}}));
  };
  const auto check = [&](const std::string& model) {
    EXPECT_EQ(content(*open_bytes(zip_of(root(model)))), expected);
  };
  check(py::call(py::global("collections", "OrderedDict"),
                 {py::list({py::list({py::text("weight"), weight})})}));
  check(model_state({{"weight", py::call(py::global("torch._utils", "_rebuild_parameter"),
                                         {weight, py::truth(true), py::none()})}}));
  check("(S'weight'\n" + weight + "d");
  check("}\x8c\x06weight\x94" + weight + "s");
  check("}\x8d" + py::raw(std::uint64_t{6}) + "weight" + weight + "s");
  check("}\x95" + py::raw(std::uint64_t{0}) + "Vweight\n" + weight + "s");
  check(py::call(py::text("collections") + py::text("OrderedDict") + "\x93", {}) + "(" +
        py::text("weight") + weight + "u}b");
}

}  // namespace
}  // namespace elbeam::test
