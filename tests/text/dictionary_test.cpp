#include "text/dictionary.hpp"

#include "support/errors.hpp"
#include "text/post_process.hpp"
#include "text/python_format.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>

namespace elbeam::text {
namespace {

using test::throws;

Dictionary parse(const std::string& content) { return Dictionary::parse(content, "dict.xx.txt"); }

TEST(Dictionary, StartsWithTheSpecialSymbols) {
  const Dictionary dictionary;
  EXPECT_EQ(dictionary.size(), 4);
  EXPECT_EQ(dictionary.symbol(0), "<s>");
  EXPECT_EQ(dictionary.symbol(1), "<pad>");
  EXPECT_EQ(dictionary.symbol(2), "</s>");
  EXPECT_EQ(dictionary.symbol(3), "<unk>");
  EXPECT_EQ(dictionary.special().eos, 2);
}

TEST(Dictionary, LooksUpBothWays) {
  const Dictionary dictionary = parse("hello 10\nworld 9\n");
  EXPECT_EQ(dictionary.index("world"), 5);
  EXPECT_EQ(dictionary.index("absent"), 3);
  EXPECT_EQ(dictionary.symbol(5), "world");
  EXPECT_EQ(dictionary.symbol(6), "<unk>");
  EXPECT_EQ(dictionary.symbol(-1), "<unk>");
  EXPECT_EQ(dictionary.encode_line(" hello\tnowhere world\r\n"),
            (std::vector<std::int64_t>{4, 3, 5, 2}));
  EXPECT_EQ(dictionary.encode_line(""), std::vector<std::int64_t>{2});
}

TEST(Dictionary, StringKeepsPadAndDropsBosAndEos) {
  const Dictionary dictionary = parse("hello 10\nworld 9\n");
  EXPECT_EQ(dictionary.string({0, 4, 1, 3, 99, 5, 2}), "hello <pad> <unk> <unk> world");
  EXPECT_EQ(dictionary.string({4, 3, 99}, true), "hello <<unk>> <unk>");
  EXPECT_EQ(dictionary.string({4, 5, 4}, false, {4}), "world");
  EXPECT_EQ(dictionary.string({}), "");
}

TEST(Dictionary, OverwriteGivesTheNewestId) {
  const Dictionary dictionary = parse("a 1\nb 1\na 5 #fairseq:overwrite\n");
  EXPECT_EQ(dictionary.size(), 7);
  EXPECT_EQ(dictionary.index("a"), 6);
  EXPECT_EQ(dictionary.symbol(4), "a");
  EXPECT_EQ(parse("<s> 5 #fairseq:overwrite\n").index("<s>"), 4);
}

TEST(Dictionary, AddsSymbols) {
  Dictionary dictionary = parse("a 1\n");
  EXPECT_EQ(dictionary.add_symbol("a"), 4);
  EXPECT_EQ(dictionary.add_symbol("b"), 5);
  EXPECT_EQ(dictionary.encode_line_adding("b c a c"), (std::vector<std::int64_t>{5, 6, 4, 6, 2}));
  EXPECT_EQ(dictionary.size(), 7);
}

TEST(Dictionary, ErrorsNameFileAndLine) {
  EXPECT_TRUE(
      throws(ErrorCode::kFormat, "dict.xx.txt:2: Duplicate word 'a'", [] { parse("a 1\na 2\n"); }));
  EXPECT_TRUE(throws(ErrorCode::kFormat, "dict.xx.txt:1: Duplicate", [] { parse("<pad> 1\n"); }));
  EXPECT_TRUE(throws(ErrorCode::kFormat, "dict.xx.txt:3: Incorrect dictionary format",
                     [] { parse("a 1\nb 2\nc\n"); }));
  EXPECT_TRUE(throws(ErrorCode::kFormat, "dict.xx.txt:2", [] { parse("a 1\n\nb 2\n"); }));
  EXPECT_TRUE(throws(ErrorCode::kFormat, "dict.xx.txt:1", [] { parse("a one\n"); }));
  EXPECT_TRUE(throws(ErrorCode::kFormat, "not UTF-8 at byte 4", [] { parse("a 1\n\xff 1\n"); }));
  EXPECT_TRUE(throws(ErrorCode::kFormat, "not UTF-8 at byte 2",
                     [] { Dictionary().encode_line("a \xc3"); }));
}

TEST(Dictionary, ParsesFullLists) {
  const Dictionary dictionary =
      Dictionary::parse_full("<s>\n<pad>\n</s>\n<unk>\na 1\n\nb\r\na 1\n", "list");
  EXPECT_EQ(dictionary.size(), 8);
  EXPECT_EQ(dictionary.symbol(4), "a 1");
  EXPECT_EQ(dictionary.symbol(5), "");
  EXPECT_EQ(dictionary.symbol(6), "b\r");
  EXPECT_EQ(dictionary.index("a 1"), 7);
  const auto parse_full = [](const std::string& content) {
    return [content] { Dictionary::parse_full(content, "list"); };
  };
  EXPECT_TRUE(throws(ErrorCode::kFormat, "list", parse_full("")));
  EXPECT_TRUE(throws(ErrorCode::kFormat, "3 symbols", parse_full("<s>\n<pad>\n</s>\n")));
  EXPECT_TRUE(throws(ErrorCode::kFormat, "list:2", parse_full("<s>\n</s>\n<pad>\n<unk>\n")));
  EXPECT_TRUE(throws(ErrorCode::kFormat, "UTF-8", parse_full("<s>\n\x80\n")));
}

TEST(Dictionary, LoadsFiles) {
  const std::string path = testing::TempDir() + "elbeam_dict.txt";
  std::ofstream(path, std::ios::binary) << "a 3\nb 2\n";
  EXPECT_EQ(Dictionary::load(path).index("b"), 5);
  std::filesystem::remove(path);
  EXPECT_TRUE(throws(ErrorCode::kIo, path, [&] { Dictionary::load(path); }));
  EXPECT_TRUE(throws(ErrorCode::kIo, "regular", [] { Dictionary::load(testing::TempDir()); }));
}

TEST(PostProcess, UnknownSymbols) {
  EXPECT_EQ(post_process("a b@@ c", ""), "a b@@ c");
  EXPECT_TRUE(throws(ErrorCode::kUsage, "Unknown post_process option: 'foo'",
                     [] { post_process("a", "foo"); }));
  EXPECT_TRUE(throws(ErrorCode::kUsage, "'@@  '", [] { validate_post_process("@@  "); }));
}

TEST(PythonFormat, WidestNumbers) {
  EXPECT_EQ(python_fixed(-1.7976931348623157e308, 100).size(), 411U);
  EXPECT_TRUE(throws(ErrorCode::kInternal, "digits", [] { python_fixed(1.0, 101); }));
  EXPECT_EQ(python_thousands(std::numeric_limits<std::int64_t>::min()),
            "-9,223,372,036,854,775,808");
}

}  // namespace
}  // namespace elbeam::text
