#include "text/bpe.hpp"

#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace elbeam::text {
namespace {

using test::throws;

std::string decode(const BpeOptions& options, const std::string& text) {
  return make_bpe(options)->decode(text);
}

BpeOptions named(const std::string& name) {
  BpeOptions options;
  options.name = name;
  return options;
}

// A file that lives as long as the object.
class TempFile {
 public:
  explicit TempFile(const std::string& content)
      : path_(testing::TempDir() + "elbeam_encoder.json") {
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TempFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(Bpe, SubwordNmt) {
  EXPECT_EQ(decode(named("subword_nmt"), "gro@@ ss fr@@"), "gross fr");
  EXPECT_EQ(decode(named("fastbpe"), "gro@@ ss "), "gross");
  BpeOptions options = named("subword_nmt");
  options.bpe_separator = "~";
  EXPECT_EQ(decode(options, "gro~ ss fr@@ x"), "gross fr@@ x");
}

TEST(Bpe, SentencePieceAndCharacters) {
  EXPECT_EQ(decode(named("sentencepiece"), "\u2581the \u2581ho use\u2581"), "the house");
  EXPECT_EQ(decode(named("characters"), "\u2581 a \u2581 b \u2581"), " a b ");
}

TEST(Bpe, Gpt2JoinsBytesOfSeveralPieces) {
  const TempFile json(R"({"\u00c3": 1, "\u0141": 2, "a": 3, "\u0120b": 4})");
  BpeOptions options = named("gpt2");
  options.gpt2_encoder_json = json.path();
  EXPECT_EQ(decode(options, "3 4 <unk> <mask>"), "a b<unk><mask>");
  EXPECT_EQ(decode(options, "1"), "\ufffd");
  EXPECT_EQ(decode(options, ""), "");
  EXPECT_TRUE(throws(ErrorCode::kModel, "'x'", [&] { decode(options, "3 x"); }));
  EXPECT_TRUE(throws(ErrorCode::kModel, "99", [&] { decode(options, "99"); }));
}

TEST(Bpe, BadFiles) {
  BpeOptions options = named("gpt2");
  EXPECT_TRUE(throws(ErrorCode::kUsage, "--gpt2-encoder-json", [&] { make_bpe(options); }));
  options.gpt2_encoder_json = "/nowhere/encoder.json";
  EXPECT_TRUE(throws(ErrorCode::kIo, "/nowhere/encoder.json", [&] { make_bpe(options); }));
  const std::string deep(1'000'000, '[');
  for (const std::string& content :
       {std::string(), std::string("[1]"), std::string("{\"a\": 1"), std::string("{\"a\": 1.5}"),
        std::string("{\"a\": \"1\"}"), std::string("{\"a\": [1]}"), std::string("{\"\xff\": 1}"),
        deep}) {
    const TempFile json(content);
    options.gpt2_encoder_json = json.path();
    EXPECT_TRUE(throws(ErrorCode::kFormat, json.path(), [&] { make_bpe(options); }))
        << content.substr(0, 20);
  }
}

TEST(Bpe, UnknownNames) {
  for (const char* name : {"", "foo", "bert"}) {
    EXPECT_TRUE(throws(ErrorCode::kUsage, "--bpe", [&] { make_bpe(named(name)); }));
  }
}

}  // namespace
}  // namespace elbeam::text
