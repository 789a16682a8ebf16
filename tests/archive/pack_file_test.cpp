// Pack caches: what is written is read, and nothing else is ever used.
#include "archive/pack_file.hpp"

#include "archive/crc32.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace elbeam::archive {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using enum ErrorCode;

const json kKey{{"model", {1, 2, 3}}, {"isa", "none"}};
constexpr std::size_t kHeaderBytes = 64;

using Contents = std::map<std::string, std::vector<std::byte>>;

std::vector<std::byte> numbers(std::size_t count, unsigned seed) {
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<std::byte>(seed >> 24);
  }
  return bytes;
}

Contents contents() {
  return {
      {"none", {}}, {"one", numbers(1, 1)}, {"some", numbers(63, 2)}, {"more", numbers(640, 3)}};
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  fs::permissions(path, fs::perms(0644));
}

class PackFiles : public testing::Test {
 protected:
  PackFiles()
      : folder_(fs::path(testing::TempDir()) / ("elbeam_pack_" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
    path_ = (folder_ / "model.packed").string();
  }
  ~PackFiles() override { fs::remove_all(folder_); }

  std::shared_ptr<const PackFile> open(const json& key = kKey) {
    return PackFile::open(path_, key, ::geteuid(), pool_);
  }
  std::string save(const Contents& all, mode_t mode = 0644) {
    PackFileWriter writer(path_, kKey);
    for (const auto& [name, bytes] : all) writer.add(name, {name, bytes.size()}, bytes);
    writer.finish(mode);
    return writer.failure();
  }
  void expect_same(const PackFile& file, const Contents& all) {
    for (const auto& [name, bytes] : all) {
      const PackEntry* entry = file.find(name);
      ASSERT_NE(entry, nullptr) << name;
      EXPECT_EQ(std::vector<std::byte>(entry->bytes.begin(), entry->bytes.end()), bytes) << name;
      EXPECT_EQ(entry->facts, (json{name, bytes.size()}));
      if (!bytes.empty()) {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(entry->bytes.data()) % kPackAlignment, 0U);
      }
    }
  }
  // A file with a right header around any index and 128 bytes of numbers.
  void write_with_index(const std::string& index) {
    std::string bytes(kHeaderBytes + 128, '\0');
    bytes += index;
    const auto put = [&](std::size_t at, auto value) {
      std::memcpy(bytes.data() + at, &value, sizeof(value));
    };
    std::memcpy(bytes.data(), "ELBPACK1", 8);
    put(8, std::uint64_t{bytes.size()});
    put(16, std::uint64_t{kHeaderBytes + 128});
    put(24, std::uint64_t{index.size()});
    put(32, crc32(0, std::as_bytes(std::span(index))));
    put(60, crc32(0, std::as_bytes(std::span(bytes)).first(60)));
    write(path_, bytes);
  }

  fs::path folder_;
  std::string path_;
  ThreadPool pool_{2};
};

TEST_F(PackFiles, WhatIsWrittenIsRead) {
  Contents all = contents();
  all["large"] = numbers((5 << 20) + 3, 4);  // over several pieces
  EXPECT_EQ(save(all), "");
  const auto file = open();
  ASSERT_NE(file, nullptr);
  expect_same(*file, all);
  EXPECT_EQ(file->find("other"), nullptr);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(PackFiles, ThereIsNoneWithAnotherKey) {
  EXPECT_EQ(open(), nullptr);
  save(contents());
  json other = kKey;
  other["model"][2] = 4;
  EXPECT_EQ(open(other), nullptr);
  EXPECT_NE(open(), nullptr);
}

TEST_F(PackFiles, RightsAreThoseOfTheModelAndNobodyElseWrites) {
  for (const auto& [model, expected] : std::map<mode_t, mode_t>{
           {0100644, 0644}, {0100600, 0600}, {0100666, 0644}, {0100440, 0640}, {0100400, 0600}}) {
    save(contents(), model);
    struct stat status {};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, expected);
  }
  for (const mode_t mode : {0664U, 0646U}) {
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
    EXPECT_TRUE(test::throws(kIo, "others than its owner may write", [&] { open(); }));
  }
}

TEST_F(PackFiles, AStrangersFileIsNotUsed) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  save(contents());
  ASSERT_EQ(::chown(path_.c_str(), 12345, 12345), 0);
  EXPECT_TRUE(test::throws(kIo, "belongs to user 12345", [&] { open(); }));
  EXPECT_NE(PackFile::open(path_, kKey, 12345, pool_), nullptr);  // the model is that user's
}

// Whatever byte is changed: the file is refused, or nothing that is read from it differs.
TEST_F(PackFiles, NoChangedByteIsRead) {
  save(contents());
  const std::string good = read(path_);
  int refused = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    write(path_, bad);
    try {
      const auto file = open();
      if (file) expect_same(*file, contents());
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == kFormat || error.code() == kIntegrity) << error.what();
      EXPECT_EQ(std::string(error.what()).rfind(path_ + ":", 0), 0U) << error.what();
      ++refused;
    }
  }
  // All but what fills the gaps between the arrays.
  EXPECT_GT(refused, static_cast<int>(good.size()) - 3 * 64);
}

TEST_F(PackFiles, NoPartIsRead) {
  save(contents());
  const std::string good = read(path_);
  for (std::size_t size = 0; size < good.size(); size += size < 100 ? 1 : 37) {
    write(path_, good.substr(0, size));
    EXPECT_THROW(open(), Error) << size;
  }
  write(path_, good + '\0');
  EXPECT_TRUE(test::throws(kIntegrity, "expected", [&] { open(); }));
  write(path_, std::string(good.size(), '\0'));
  EXPECT_TRUE(test::throws(kFormat, "not a pack cache", [&] { open(); }));
}

TEST_F(PackFiles, HostileIndexes) {
  const std::string key = R"({"key": {"model": [1, 2, 3], "isa": "none"}, "entries": )";
  const auto crc = std::to_string(crc32(0, std::vector<std::byte>(64)));
  write_with_index(key + R"({"a": [64, 64, )" + crc + ", []]}}");
  ASSERT_NE(open(), nullptr);  // the frame is right
  for (const std::string entries : {
           R"({"a": [192, 64, 0, []]})",                   // the index itself
           R"({"a": [128, 65, 0, []]})",                   // into the index
           R"({"a": [65, 1, 0, []]})",                     // crooked
           R"({"a": [-64, 64, 0, []]})",                   // before the file
           R"({"a": [64, -1, 0, []]})",                    //
           R"({"a": [64, 18446744073709551615, 0, []]})",  // around the end of all numbers
           R"({"a": [18446744073709551552, 64, 0, []]})",  //
           R"({"a": [64, 64.0, 0, []]})",                  //
           R"({"a": [64, 64, 4294967296, []]})",           //
           R"({"a": [64, 64, 0]})",                        //
           R"({"a": {"offset": 64}})",                     //
           R"({"a": null})",                               //
           R"([[64, 64, 0, []]])",                         //
           R"({"a": [64, 64, 0, []], "a": [64, 64, 0, []]})",
       }) {
    write_with_index(key + entries + "}");
    EXPECT_TRUE(test::throws(kFormat, path_, [&] { open(); })) << entries;
  }
  for (const char* index : {"", "{", "[]", "{}", R"({"key": 1})", "\xff"}) {
    write_with_index(index);
    EXPECT_TRUE(test::throws(kFormat, path_, [&] { open(); })) << index;
  }
}

TEST_F(PackFiles, WhatCannotBeWrittenIsNobodysError) {
  PackFileWriter writer((folder_ / "missing" / "model.packed").string(), kKey);
  EXPECT_NE(writer.failure().find("cannot be created: No such file"), std::string::npos);
  writer.add("a", {}, numbers(100, 1));
  writer.finish(0644);
  EXPECT_TRUE(fs::is_empty(folder_));
  // A folder in its place.
  fs::create_directories(fs::path(path_) / "in the way");
  EXPECT_NE(save(contents()).find("cannot be moved"), std::string::npos);
  EXPECT_TRUE(test::throws(kIo, "not a regular file", [&] { open(); }));
}

// As on a full disk: writing fails in the middle, and what was there stays.
TEST_F(PackFiles, AFailedWriteLeavesTheOldFile) {
  save(contents());
  const std::string before = read(path_);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit low{3 << 20, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  const std::string failure = save({{"large", numbers(8 << 20, 1)}});
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(failure.find("cannot be written: File too large"), std::string::npos) << failure;
  EXPECT_EQ(read(path_), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(PackFiles, OnlyWhatWasAbandonedLongAgoIsRemoved) {
  const fs::path old = path_ + ".tmp-abcdef";
  const fs::path fresh = path_ + ".tmp-ghijkl";
  write(old, "part");
  write(fresh, "part");
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(2));
  save(contents());
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(fresh));
  EXPECT_NE(open(), nullptr);
}

TEST_F(PackFiles, WritersAndReadersAtOnce) {
  const Contents all{{"a", numbers(300'000, 1)}, {"b", numbers(100, 2)}};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      ThreadPool pool(1);
      for (int round = 0; round < 10; ++round) {
        EXPECT_EQ(save(all), "");
        const auto file = PackFile::open(path_, kKey, ::geteuid(), pool);
        ASSERT_NE(file, nullptr);
        expect_same(*file, all);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

}  // namespace
}  // namespace elbeam::archive
