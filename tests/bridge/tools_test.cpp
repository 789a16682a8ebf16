// The pieces that the command line tools share: lines as they arrive, lower case, BLEU's orders.
#include <elbeam/error.hpp>

#include "bridge/bridge_support.hpp"
#include "fairseq_bridge/bleu.hpp"
#include "fairseq_bridge/line_reader.hpp"
#include "support/errors.hpp"
#include "text/unicode.hpp"

#include <sys/stat.h>

#include <thread>
#include <vector>

namespace elbeam::fairseq {
namespace {

std::vector<std::string> lines_of(const std::string& bytes) {
  const std::string path = scratch_folder() + "/lines";
  write_file(path, bytes);
  LineReader reader(path);
  std::vector<std::string> lines;
  while (const auto line = reader.next()) lines.push_back(*line);
  EXPECT_EQ(reader.lines(), ssize(lines.size()));
  return lines;
}

using Strings = std::vector<std::string>;

TEST(LineReader, EndsLinesAsPythonDoes) {
  EXPECT_EQ(lines_of(""), Strings{});
  EXPECT_EQ(lines_of("\n"), Strings{""});
  EXPECT_EQ(lines_of("a"), Strings{"a"});
  EXPECT_EQ(lines_of("a\nb\r\nc\rd\r\r\n\n"), (Strings{"a", "b", "c", "d", "", ""}));
  EXPECT_EQ(lines_of("a\v\f\x1c\xc2\x85\xe2\x80\xa8z\r"),
            (Strings{"a\v\f\x1c\xc2\x85\xe2\x80\xa8z"}));
  EXPECT_EQ(lines_of(std::string("a\0b\n\0", 5)), (Strings{{"a\0b", 3}, {"\0", 1}}));
}

TEST(LineReader, JoinsWhatComesInPieces) {
  // A line end, and the bytes of one letter, across the blocks that are read at a time.
  const std::string block(65535, 'x');
  EXPECT_EQ(lines_of(block + "\r\nb"), (Strings{block, "b"}));
  EXPECT_EQ(lines_of(block + "\xc3\xa4\nb"), (Strings{block + "\xc3\xa4", "b"}));
  const std::string megabyte(1 << 20, 'y');
  EXPECT_EQ(lines_of(megabyte + "\n" + megabyte), (Strings{megabyte, megabyte}));
}

TEST(LineReader, GivesALineBeforeTheNextOneIsWritten) {
  const std::string path = scratch_folder() + "/pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::ofstream writer;
  std::thread opener([&] { writer.open(path); });  // waits for the reader
  LineReader reader(path);
  opener.join();
  for (const char* end : {"\n", "\r", "\r\n"}) {
    writer << "line" << end << std::flush;
    EXPECT_EQ(reader.next(), "line");  // hangs where the reader waits for more
  }
  writer.close();
  EXPECT_EQ(reader.next(), std::nullopt);
}

TEST(LineReader, NamesLineAndByteOfBadText) {
  const std::string path = scratch_folder() + "/bad";
  write_file(path, "good\nb\xc3\xa4\xff\n");
  LineReader reader(path);
  EXPECT_EQ(reader.next(), "good");
  EXPECT_TRUE(test::throws(ErrorCode::kFormat, path + ": line 2, byte 4 is not UTF-8 ('\\xff')",
                           [&] { reader.next(); }));
  EXPECT_TRUE(test::throws(ErrorCode::kIo, path + "x: cannot open: No such file",
                           [&] { LineReader missing(path + "x"); }));
}

TEST(LineReader, RefusesEndlessLines) {
  LineReader reader("/dev/zero");
  EXPECT_TRUE(test::throws(ErrorCode::kLimit, "/dev/zero: line 1 has more than 67108864 bytes",
                           [&] { reader.next(); }));
}

TEST(LowerCase, IsPythons) {
  EXPECT_EQ(text::lower(""), "");
  EXPECT_EQ(text::lower("ABC xyz 123"), "abc xyz 123");
  EXPECT_EQ(text::lower(std::string("A\0B", 3)), std::string("a\0b", 3));
  EXPECT_EQ(text::lower("ÄÖÜ ẞ Ÿ"), "äöü ß ÿ");
  EXPECT_EQ(text::lower("İ"), "i\xcc\x87");  // one letter becomes two
  EXPECT_EQ(text::lower("ΣΟΦΟΣ Σ"), "σοφος σ");
  EXPECT_EQ(text::lower("ǅ Ⅷ 𐐀"), "ǆ ⅷ 𐐨");
}

TEST(Bleu, CountsToTheGivenOrder) {
  BleuScorer scorer({});
  scorer.add({4, 5, 6, 7, 8}, {4, 5, 6, 9, 8});
  EXPECT_EQ(scorer.result_string(1),
            "BLEU1 = 80.00, 80.0 (BP=1.000, ratio=1.000, syslen=5, reflen=5)");
  EXPECT_EQ(scorer.result_string(3),
            "BLEU3 = 51.09, 80.0/50.0/33.3 (BP=1.000, ratio=1.000, syslen=5, reflen=5)");
  EXPECT_TRUE(test::throws(ErrorCode::kInternal, "order", [&] { scorer.result_string(5); }));
}

// libbleu's bleu_one_init, which fairseq_cli/score.py means to use for --sentence-bleu.
TEST(Bleu, SmoothsByOne) {
  BleuScorer scorer({}, BleuScorer::Smoothing::kAddOne);
  scorer.add({4, 5, 6, 7}, {4, 5, 6, 8});
  EXPECT_EQ(scorer.result_string(),
            "BLEU4 = 65.80, 75.0/75.0/66.7/50.0 (BP=1.000, ratio=1.000, syslen=4, reflen=4)");
}

}  // namespace
}  // namespace elbeam::fairseq
