// safetensors folders: what is read, and every way in which a header can lie.
#include "archive/model_files.hpp"

#include <gtest/gtest.h>

#include <random>

namespace elbeam::test {
namespace {

using archive::CheckpointFormat;
using nlohmann::json;

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(length >> (8 * i) & 255U));
  return bytes + rest;
}

std::string safetensors(const std::string& header, const std::string& data) {
  return with_length(header.size(), header + data);
}

json entry(const std::string& type, const json& shape, std::int64_t begin, std::int64_t end) {
  return {{"dtype", type}, {"shape", shape}, {"data_offsets", {begin, end}}};
}

class Folder {
 public:
  Folder() : path_(scratch_path() + "_folder") { std::filesystem::create_directory(path_); }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ + "/" + name, std::ios::binary | std::ios::trunc) << bytes;
  }
  std::unique_ptr<Checkpoint> open() const { return Checkpoint::open(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

testing::AssertionResult rejected(const std::string& bytes, ErrorCode code,
                                  const std::string& part) {
  const Folder folder;
  folder.write("config.json", "{}");
  folder.write("model.safetensors", bytes);
  return throws(code, part, [&] { folder.open(); });
}

TEST(Safetensors, TensorsAndConfigurationAreRead) {
  const Folder folder;
  folder.write("config.json", R"({"model_type": "gpt2", "n_layer": 3})");
  const json header = {{"__metadata__", {{"format", "pt"}}},
                       {"b", entry("F32", {2, 2}, 0, 16)},
                       {"a", entry("U8", {3}, 16, 19)},
                       {"scalar", entry("F16", json::array(), 19, 21)},
                       {"none", entry("F32", {0, 7}, 21, 21)}};
  folder.write("model.safetensors",
               safetensors(header.dump() + "   ", std::string(16, 'x') + "abc" + "yz"));
  const auto file = folder.open();
  EXPECT_EQ(file->format(), CheckpointFormat::kHuggingFace);
  EXPECT_EQ(file->config().at("huggingface").at("n_layer"), 3);
  ASSERT_EQ(file->tensors().size(), 4u);
  const TensorView& a = file->tensors().at("a");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(a.data), 3), "abc");
  EXPECT_EQ(file->tensors().at("b").strides, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(file->tensors().at("scalar").element_count(), 1);
  EXPECT_EQ(file->tensors().at("none").element_count(), 0);
}

TEST(Safetensors, LengthsThatDoNotFit) {
  EXPECT_TRUE(rejected("", ErrorCode::kFormat, "empty"));
  EXPECT_TRUE(rejected("1234567", ErrorCode::kFormat, "too few"));
  EXPECT_TRUE(rejected(with_length(2, ""), ErrorCode::kFormat, "too few"));
  EXPECT_TRUE(rejected(with_length(3, "{}"), ErrorCode::kIntegrity, "3 bytes by its own word"));
  EXPECT_TRUE(rejected(with_length(~std::uint64_t{0}, "{}"), ErrorCode::kIntegrity, "header"));
  EXPECT_TRUE(rejected(with_length(std::uint64_t{1} << 63, "{}"), ErrorCode::kIntegrity, "header"));
  EXPECT_TRUE(rejected(with_length(0, "{}"), ErrorCode::kIntegrity, "header"));
  const std::string long_header = "{}" + std::string(17 << 20, ' ');
  EXPECT_TRUE(rejected(safetensors(long_header, ""), ErrorCode::kLimit, "limit"));
}

TEST(Safetensors, HeadersThatAreNone) {
  for (const char* text : {"[]", "  {}", "{ ", "{}x", "{\"a\": }", "{\"a\": 1e999}", "\xff\xfe"}) {
    EXPECT_TRUE(rejected(safetensors(text, ""), ErrorCode::kFormat, "header")) << text;
  }
  EXPECT_TRUE(rejected(safetensors(R"({"a": 1})", ""), ErrorCode::kFormat, "expected dtype"));
  EXPECT_TRUE(
      rejected(safetensors("{\"a\": " + std::string(1000, '[') + std::string(1000, ']') + "}", ""),
               ErrorCode::kLimit, "nests deeper"));
  const std::string one = entry("U8", {1}, 0, 1).dump();
  EXPECT_TRUE(rejected(safetensors("{\"a\":" + one + ",\"a\":" + one + "}", "x"),
                       ErrorCode::kFormat, "occurs twice"));
  json more = entry("U8", {1}, 0, 1);
  more["strides"] = {1};
  EXPECT_TRUE(
      rejected(safetensors(json{{"a", more}}.dump(), "x"), ErrorCode::kFormat, "expected dtype"));
  EXPECT_TRUE(
      rejected(safetensors(json{{std::string(600, 'n'), entry("U8", {1}, 0, 1)}}.dump(), "x"),
               ErrorCode::kLimit, "a name of 600 bytes"));
}

TEST(Safetensors, ShapesAndOffsetsThatLie) {
  const auto one = [](const json& value, const std::string& data) {
    return safetensors(json{{"a", value}}.dump(), data);
  };
  const std::string eight(8, 'x');
  EXPECT_TRUE(rejected(one(entry("F32", {3}, 0, 8), eight), ErrorCode::kIntegrity, "needs 12"));
  EXPECT_TRUE(rejected(one(entry("F32", {2}, 0, 9), eight), ErrorCode::kIntegrity, "data_offsets"));
  EXPECT_TRUE(rejected(one(entry("F32", {2}, 8, 0), eight), ErrorCode::kIntegrity, "data_offsets"));
  EXPECT_TRUE(rejected(one(entry("F32", {-2}, 0, 8), eight), ErrorCode::kFormat, "sizes"));
  EXPECT_TRUE(rejected(one(entry("F32", {2.0}, 0, 8), eight), ErrorCode::kFormat, "sizes"));
  EXPECT_TRUE(rejected(one(entry("F32", "2", 0, 8), eight), ErrorCode::kFormat, "sizes"));
  EXPECT_TRUE(rejected(one(entry("F32", {1, 1, 1, 1, 1, 1, 1, 1, 2}, 0, 8), eight),
                       ErrorCode::kFormat, "sizes"));
  EXPECT_TRUE(
      rejected(one(entry("F8_E5M2", {8}, 0, 8), eight), ErrorCode::kUnsupported, "F8_E5M2"));
  const std::int64_t big = std::int64_t{1} << 40;  // 2^40 * 2^40 * 4 overflows
  EXPECT_TRUE(rejected(one(entry("F32", {big, big}, 0, 8), eight), ErrorCode::kLimit, "overflow"));
  json three = entry("U8", {8}, 0, 8);
  three["data_offsets"] = {0, 8, 8};
  EXPECT_TRUE(rejected(one(three, eight), ErrorCode::kFormat, "sizes"));
}

TEST(Safetensors, NumbersAreCoveredOnceAndWholly) {
  const auto two = [](std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) {
    return safetensors(
        json{{"a", entry("U8", {b - a}, a, b)}, {"b", entry("U8", {d - c}, c, d)}}.dump(),
        std::string(8, 'x'));
  };
  EXPECT_TRUE(rejected(two(0, 5, 4, 8), ErrorCode::kIntegrity, "begins at byte 4"));  // overlap
  EXPECT_TRUE(rejected(two(0, 3, 4, 8), ErrorCode::kIntegrity, "begins at byte 4"));  // gap
  EXPECT_TRUE(rejected(two(1, 4, 4, 8), ErrorCode::kIntegrity, "begins at byte 1"));
  EXPECT_TRUE(rejected(two(0, 4, 4, 7), ErrorCode::kIntegrity, "end after 7"));
  EXPECT_TRUE(rejected(two(0, 8, 0, 8), ErrorCode::kIntegrity, "begins at byte 0"));
}

TEST(Safetensors, FoldersThatAreNoModels) {
  const Folder folder;
  EXPECT_TRUE(throws(ErrorCode::kIo, "config.json", [&] { folder.open(); }));
  folder.write("config.json", "{}");
  EXPECT_TRUE(throws(ErrorCode::kIo, "model.safetensors", [&] { folder.open(); }));
  folder.write("model.safetensors", safetensors("{}", ""));
  EXPECT_TRUE(folder.open()->tensors().empty());
  folder.write("config.json", "[1]");
  EXPECT_TRUE(throws(ErrorCode::kFormat, "config.json", [&] { folder.open(); }));
}

TEST(Safetensors, AnyDamageIsAnErrorOrHarmless) {
  const json header = {{"a", entry("F32", {2, 2}, 0, 16)}, {"b", entry("I64", {1}, 16, 24)}};
  const std::string whole = safetensors(header.dump(), std::string(24, 'x'));
  std::mt19937 rng(5);
  int read = 0, refused_count = 0;
  for (int round = 0; round < 1000; ++round) {
    std::string bytes = whole;
    for (auto n = 1 + rng() % 3; n > 0; --n)
      bytes[rng() % bytes.size()] = static_cast<char>(rng() % 256);
    if (round % 5 == 0) bytes.resize(rng() % bytes.size());
    const Folder folder;
    folder.write("config.json", "{}");
    folder.write("model.safetensors", bytes);
    try {
      const auto file = folder.open();
      for (const auto& [name, view] : file->tensors()) {
        std::int64_t sum = 0;  // every byte may be touched
        for (std::int64_t i = 0; i < view.element_count() * archive::tensor_type_size(view.type);
             ++i)
          sum += std::to_integer<std::int64_t>(view.data[i]);
        ASSERT_GE(sum, 0);
      }
      ++read;
    } catch (const Error& error) {
      ASSERT_NE(error.code(), ErrorCode::kInternal) << error.what();
      ++refused_count;
    }
  }
  EXPECT_GT(read, 30);
  EXPECT_GT(refused_count, 300);
}

}  // namespace
}  // namespace elbeam::test
