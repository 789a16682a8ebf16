#include <elbeam/eval/text_file.hpp>

#include "support/errors.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>

namespace elbeam::eval {
namespace {

using elbeam::test::throws;

std::string write(const std::string& name, const std::string& content) {
  const std::string path = testing::TempDir() + "elbeam_eval_" + name;
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

std::string compressed(const std::string& name, const std::string& content) {
  const std::string path = testing::TempDir() + "elbeam_eval_" + name;
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, content.data(), static_cast<unsigned>(content.size()));
  gzclose(file);
  return path;
}

std::vector<std::vector<std::string>> read(const std::string& path,
                                           const TextFileOptions& options = {}) {
  std::vector<std::vector<std::string>> all;
  const auto file = TextFile::open(path, options);
  for (std::vector<std::string> texts; file->next(texts);) all.push_back(texts);
  EXPECT_EQ(static_cast<std::size_t>(file->segments()), all.size());
  return all;
}

using Lines = std::vector<std::vector<std::string>>;

TEST(TextFileTest, LinesEndAtLineFeedsOnly) {
  EXPECT_EQ(read(write("plain",
                       "a\r b\n\nc\xe2\x80\xa8"
                       "d")),
            (Lines{{"a\r b"},
                   {""},
                   {"c\xe2\x80\xa8"
                    "d"}}));
  EXPECT_EQ(read(write("empty", "")), Lines{});
  EXPECT_EQ(read(write("one", "\n")), Lines{{""}});
}

TEST(TextFileTest, LinesLongerThanTheBuffer) {
  const std::string line(1'000'000, 'x');
  EXPECT_EQ(read(write("long", line + "\n" + line)), (Lines{{line}, {line}}));
}

TEST(TextFileTest, FairseqOutputComesInTheOrderOfIds) {
  const std::string output =
      "2026-01-01 | INFO | log\nS-10\tq\nT-10\tten\nH-10\t-0.5\tt@@ en\nD-10\t-0.5\tten!\n"
      "H-10\t-0.9\tworse\nD-10\t-0.9\tworse\nP-10\t-0.1 -0.2\nS-2\tp\nT-2\ttwo\nH-2\t-0.1\tt@@ wo\n"
      "D-2\t-0.1\t\nGenerate test with beam=5: BLEU4 = 1.00\n";
  const std::string path = write("fairseq", output);
  EXPECT_EQ(read(path), (Lines{{""}, {"ten!"}}));
  TextFileOptions options;
  options.role = TextRole::kReference;
  EXPECT_EQ(read(path, options), (Lines{{"two"}, {"ten"}}));
  options.role = TextRole::kSource;
  EXPECT_EQ(read(path, options), (Lines{{"p"}, {"q"}}));
  options.format = TextFormat::kPlain;
  EXPECT_EQ(read(path, options).size(), 13U);
}

TEST(TextFileTest, FairseqOutputMayHaveOneKindOfHypothesisButNotHalfOfOne) {
  EXPECT_EQ(read(write("d", "D-1\t-0.1\tb\nD-0\t-0.1\ta\n")), (Lines{{"a"}, {"b"}}));
  EXPECT_EQ(read(write("h", "H-1\t-0.1\tb\nH-1\t-0.2\tc\nH-0\t-0.1\ta\n")), (Lines{{"a"}, {"b"}}));
  const std::string both = "H-0\t-0.1\ta\nD-0\t-0.1\ta\n";
  EXPECT_TRUE(throws(ErrorCode::kFormat, "has an H- and no D- line of sentence 7",
                     [&] { read(write("cut", both + "H-7\t-0.1\tb\n")); }));
  EXPECT_TRUE(throws(ErrorCode::kFormat, "has a D- and no H- line of sentence 7",
                     [&] { read(write("cut", both + "D-7\t-0.1\tb\n")); }));
  TextFileOptions options;
  options.role = TextRole::kReference;
  EXPECT_TRUE(throws(ErrorCode::kFormat, ":3: a second line T-5",
                     [&] { read(write("twice", "T-5\ta\nT-2\tb\nT-5\ta\n"), options); }));
}

TEST(TextFileTest, JsonLines) {
  const std::string path = write("x.jsonl", R"({"hypothesis": "a\nb", "reference": ["c", "d"]}

{"hypothesis": "", "reference": "é", "other": [""]}
)");
  EXPECT_EQ(read(path), (Lines{{"a\nb"}, {""}}));
  TextFileOptions options;
  options.role = TextRole::kReference;
  EXPECT_EQ(read(path, options), (Lines{{"c", "d"}, {"é"}}));
  options.field = "other";
  EXPECT_TRUE(throws(ErrorCode::kFormat, ":1 has no field 'other'", [&] { read(path, options); }));
  EXPECT_TRUE(throws(ErrorCode::kFormat, ":1 is not a JSON object",
                     [] { read(write("bad.jsonl", "[1]\n")); }));
  EXPECT_TRUE(throws(ErrorCode::kFormat, "is no string",
                     [] { read(write("bad.jsonl", "{\"hypothesis\": 1}\n")); }));
  std::string many = "{\"hypothesis\": [\"a\"";
  for (int i = 0; i < 100; ++i) many += ",\"a\"";
  EXPECT_TRUE(
      throws(ErrorCode::kLimit, "101 texts", [&] { read(write("many.jsonl", many + "]}\n")); }));
}

TEST(TextFileTest, SentenceSeparatorsBecomeLineFeeds) {
  TextFileOptions options;
  options.sentence_separator = "<n>";
  EXPECT_EQ(read(write("sentences", "a<n>b\n"), options), Lines{{"a\nb"}});
}

TEST(TextFileTest, Compressed) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += std::to_string(i * 7919) + "\n";
  const std::string path = compressed("x.gz", text);
  EXPECT_EQ(read(path).size(), 100'000U);
  std::ifstream in(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  const std::string half = write("half.gz", bytes.substr(0, bytes.size() / 2));
  EXPECT_TRUE(throws(ErrorCode::kIntegrity, "breaks off", [&] { read(half); }));
  std::string damaged = bytes;
  damaged[bytes.size() / 2] = static_cast<char>(damaged[bytes.size() / 2] ^ 0x55);
  EXPECT_TRUE(
      throws(ErrorCode::kIntegrity, "damaged.gz", [&] { read(write("damaged.gz", damaged)); }));
}

TEST(TextFileTest, BadFiles) {
  EXPECT_TRUE(throws(ErrorCode::kIo, "No such file", [] { read("/nonexistent/file"); }));
  EXPECT_TRUE(throws(ErrorCode::kIo, "folder", [] { read(testing::TempDir()); }));
  EXPECT_TRUE(throws(ErrorCode::kFormat, ":2: byte 3 of the line is not UTF-8",
                     [] { read(write("latin", "a\nbc\xe9 d\n")); }));
  const std::string only_sources = write("sources", "S-1\ta\n");
  EXPECT_TRUE(throws(ErrorCode::kFormat, "has no H- lines", [&] { read(only_sources); }));
  EXPECT_TRUE(throws(ErrorCode::kFormat, "needs id, score and text",
                     [] { read(write("broken", "H-1\ttext\n")); }));
}

}  // namespace
}  // namespace elbeam::eval
