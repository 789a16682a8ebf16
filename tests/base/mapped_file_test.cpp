#include "base/mapped_file.hpp"

#include "support/errors.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

namespace elbeam {
namespace {

using test::throws;

class MappedFileTest : public testing::Test {
 protected:
  MappedFileTest() : path_(testing::TempDir() + "elbeam_mapped_file") {
    std::filesystem::remove(path_);
  }
  ~MappedFileTest() override { std::filesystem::remove(path_); }

  void write(const std::string& content) { std::ofstream(path_, std::ios::binary) << content; }

  static std::string text(const MappedFile& file) {
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  }

  std::string path_;
};

TEST_F(MappedFileTest, ReadsAndMoves) {
  write("hello");
  MappedFile first(path_);
  EXPECT_EQ(text(first), "hello");
  MappedFile second(std::move(first));
  EXPECT_EQ(text(second), "hello");
  write("other");
  MappedFile third(path_);
  third = std::move(second);
  EXPECT_EQ(third.path(), path_);
  EXPECT_EQ(third.bytes().size(), 5U);
}

TEST_F(MappedFileTest, ReleasedPartsStayReadable) {
  std::string content(5 * 4096 + 17, 'x');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>('a' + i % 23);
  write(content);
  const MappedFile file(path_);
  file.release(file.bytes());
  file.release(file.bytes().subspan(5000, 9000));
  file.release(file.bytes().first(0));
  EXPECT_EQ(text(file), content);
}

TEST_F(MappedFileTest, EmptyFileIsAnEmptySpan) {
  write("");
  EXPECT_TRUE(MappedFile(path_).bytes().empty());
}

TEST_F(MappedFileTest, MissingFile) {
  EXPECT_TRUE(throws(ErrorCode::kIo, path_, [&] { MappedFile file(path_); }));
  EXPECT_TRUE(throws(ErrorCode::kIo, "cannot open", [] { MappedFile file(""); }));
}

TEST_F(MappedFileTest, DirectoriesAndDevicesAreRefused) {
  EXPECT_TRUE(throws(ErrorCode::kIo, "regular", [] { MappedFile file(testing::TempDir()); }));
  EXPECT_TRUE(throws(ErrorCode::kIo, "regular", [] { MappedFile file("/dev/null"); }));
}

TEST_F(MappedFileTest, FifoDoesNotHang) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_TRUE(throws(ErrorCode::kIo, "regular", [&] { MappedFile file(path_); }));
}

TEST_F(MappedFileTest, SparseFileAboveTheLimitIsRefused) {
  write("");
  std::error_code error;
  std::filesystem::resize_file(path_, (std::uintmax_t{1} << 42) + 1, error);
  if (error) GTEST_SKIP() << "this file system cannot hold a sparse file of 4 TiB";
  EXPECT_TRUE(throws(ErrorCode::kLimit, "limit", [&] { MappedFile file(path_); }));
}

}  // namespace
}  // namespace elbeam
