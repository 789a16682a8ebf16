#include <elbeam/error.hpp>

#include "bridge/bridge_support.hpp"
#include "fairseq_bridge/language_pair_dataset.hpp"
#include "fairseq_bridge/token_dataset.hpp"

#include <functional>
#include <random>

namespace elbeam::fairseq {
namespace {

const Sentences kSentences{{4, 5, 6, 2}, {}, {7, 2}};

std::string error_of(ErrorCode code, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

template <typename T>
void expect_round_trip(std::uint8_t type) {
  const std::string prefix = scratch_folder() + "/x";
  write_mmap<T>(prefix, kSentences, type);
  const auto dataset = open_mmap_dataset(prefix);
  ASSERT_EQ(dataset->size(), 3);
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(dataset->tokens(i), kSentences[usize(i)]) << "type " << static_cast<int>(type);
    EXPECT_EQ(dataset->length(i), ssize(kSentences[usize(i)].size()));
  }
}

TEST(MmapDataset, ReadsEveryElementType) {
  expect_round_trip<std::uint8_t>(1);
  expect_round_trip<std::int8_t>(2);
  expect_round_trip<std::int16_t>(3);
  expect_round_trip<std::int32_t>(4);
  expect_round_trip<std::int64_t>(5);
  expect_round_trip<double>(6);
  expect_round_trip<double>(7);
  expect_round_trip<std::uint16_t>(8);
  expect_round_trip<std::uint32_t>(9);
  expect_round_trip<std::uint64_t>(10);
}

TEST(MmapDataset, EmptyIsLegalAndTrailingBytesAreIgnored) {
  const std::string prefix = scratch_folder() + "/x";
  write_mmap(prefix, {});
  EXPECT_EQ(open_mmap_dataset(prefix)->size(), 0);
  write_mmap(prefix, kSentences);
  write_file(prefix + ".idx", read_file(prefix + ".idx") + "more");
  EXPECT_EQ(open_mmap_dataset(prefix)->tokens(2), kSentences[2]);
}

TEST(MmapDataset, RefusesEveryTruncation) {
  const std::string prefix = scratch_folder() + "/x";
  write_mmap(prefix, kSentences);
  const std::string index = read_file(prefix + ".idx");
  for (std::size_t size = 0; size < index.size(); ++size) {
    write_file(prefix + ".idx", index.substr(0, size));
    const std::string error = error_of(ErrorCode::kFormat, [&] { open_mmap_dataset(prefix); });
    EXPECT_NE(error.find(prefix + ".idx"), std::string::npos) << error;
  }
  write_file(prefix + ".idx", index);
  const std::string data = read_file(prefix + ".bin");
  for (std::size_t size = 0; size < data.size(); ++size) {
    write_file(prefix + ".bin", data.substr(0, size));
    const std::string error = error_of(ErrorCode::kFormat, [&] { open_mmap_dataset(prefix); });
    EXPECT_NE(error.find(prefix + ".bin"), std::string::npos) << error;
  }
}

TEST(MmapDataset, RefusesDamagedFields) {
  const std::string prefix = scratch_folder() + "/x";
  write_mmap(prefix, kSentences);
  const std::string index = read_file(prefix + ".idx");
  const auto with = [&](std::size_t offset, const std::string& bytes) {
    std::string damaged = index;
    damaged.replace(offset, bytes.size(), bytes);
    write_file(prefix + ".idx", damaged);
    return [prefix] { open_mmap_dataset(prefix); };
  };
  constexpr std::size_t kSizes = 26;
  constexpr std::size_t kPointers = kSizes + 3 * 4;
  error_of(ErrorCode::kFormat, with(0, "X"));
  error_of(ErrorCode::kFormat, with(8, "X"));
  error_of(ErrorCode::kFormat, with(0, std::string("TNTIDX\0\0", 8)));
  error_of(ErrorCode::kFormat, with(9, bytes_of<std::uint64_t>(2)));
  error_of(ErrorCode::kFormat, with(17, bytes_of<std::uint8_t>(0)));
  error_of(ErrorCode::kFormat, with(17, bytes_of<std::uint8_t>(11)));
  error_of(ErrorCode::kFormat, with(18, bytes_of<std::uint64_t>(4)));
  error_of(ErrorCode::kLimit, with(18, bytes_of<std::uint64_t>(~0ULL)));
  error_of(ErrorCode::kLimit, with(18, bytes_of<std::uint64_t>(1ULL << 62)));
  error_of(ErrorCode::kFormat, with(kSizes, bytes_of<std::int32_t>(-1)));
  error_of(ErrorCode::kLimit, with(kSizes, bytes_of<std::int32_t>(0x7fffffff)));
  error_of(ErrorCode::kFormat, with(kSizes, bytes_of<std::int32_t>(7)));
  error_of(ErrorCode::kFormat, with(kPointers, bytes_of<std::int64_t>(-2)));
  error_of(ErrorCode::kFormat, with(kPointers, bytes_of<std::int64_t>(5)));
  error_of(ErrorCode::kFormat, with(kPointers + 16, bytes_of<std::int64_t>(INT64_MAX)));
}

// Whatever the bytes are, opening and reading either works or throws Error (under the sanitizers
// this also shows that nothing outside the files is touched).
TEST(MmapDataset, SurvivesRandomDamage) {
  const std::string prefix = scratch_folder() + "/x";
  write_mmap(prefix, kSentences);
  const std::string index = read_file(prefix + ".idx");
  std::mt19937 random(11);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = index;
    for (auto changes = 1 + random() % 3; changes > 0; --changes) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    write_file(prefix + ".idx", damaged);
    try {
      const auto dataset = open_mmap_dataset(prefix);
      for (std::int64_t i = 0; i < dataset->size(); ++i) dataset->tokens(i);
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(MmapDataset, RefusesTokensThatAreNoIds) {
  const std::string prefix = scratch_folder() + "/x";
  write_mmap<std::int32_t>(prefix, {{4, -1, 2}}, 4);
  const std::string error =
      error_of(ErrorCode::kFormat, [&] { open_mmap_dataset(prefix)->tokens(0); });
  EXPECT_NE(error.find("token 1 of sentence 0 is -1"), std::string::npos) << error;
  write_file(prefix + ".bin", bytes_of(4.5));
  write_file(prefix + ".idx", mmap_index({1}, 6, 8));
  error_of(ErrorCode::kFormat, [&] { open_mmap_dataset(prefix)->tokens(0); });
  write_file(prefix + ".bin", bytes_of(~std::uint64_t{0}));
  write_file(prefix + ".idx", mmap_index({1}, 10, 8));
  error_of(ErrorCode::kFormat, [&] { open_mmap_dataset(prefix)->tokens(0); });
  error_of(ErrorCode::kIo, [&] { open_mmap_dataset(prefix + "y"); });
}

TEST(RawDataset, EncodesLinesAsPythonReadsThem) {
  const std::string path = scratch_folder() + "/raw";
  text::Dictionary dictionary;
  const std::int64_t a = dictionary.add_symbol("a");
  const std::int64_t b = dictionary.add_symbol("b");
  write_file(path, "a b\r\n\n  b\t a \rc");
  const auto dataset = open_raw_dataset(path, dictionary);
  ASSERT_EQ(dataset->size(), 4);
  EXPECT_EQ(dataset->tokens(0), (std::vector<std::int64_t>{a, b, 2}));
  EXPECT_EQ(dataset->tokens(1), (std::vector<std::int64_t>{2}));
  EXPECT_EQ(dataset->tokens(2), (std::vector<std::int64_t>{b, a, 2}));
  EXPECT_EQ(dataset->tokens(3), (std::vector<std::int64_t>{3, 2}));
  write_file(path, "a \xff b\n");
  error_of(ErrorCode::kFormat, [&] { open_raw_dataset(path, dictionary); });
}

TEST(LanguagePair, IsInferredFromFileNames) {
  const std::string folder = scratch_folder();
  DataOptions options;
  options.data = folder + ":" + folder + "/elsewhere";
  error_of(ErrorCode::kUsage, [&] { find_language_pair(options); });
  for (const char* name :
       {"dict.de.txt", "preprocess.log", "test.a-b-c.x", "x.y-", "valid.de-en.de.idx"}) {
    write_file(folder + "/" + name, "");
  }
  const LanguagePair pair = find_language_pair(options);
  EXPECT_EQ(pair.folder, folder);
  EXPECT_EQ(pair.source, "de");
  EXPECT_EQ(pair.target, "en");
  options.source_lang = "fr";  // alone it counts for nothing, as in fairseq
  EXPECT_EQ(find_language_pair(options).source, "de");
  options.target_lang = "it";
  EXPECT_EQ(find_language_pair(options).target, "it");
  options.data = folder + "/missing";
  error_of(ErrorCode::kIo, [&] { find_language_pair(options); });
}

TEST(LanguagePair, SplitIsFoundInBothDirectionsAndTargetsAreOptional) {
  const std::string folder = scratch_folder();
  DataOptions options;
  options.data = folder;
  options.subset = "valid";
  const LanguagePair pair{folder, "de", "en"};
  const text::Dictionary dictionary;
  const std::string error = error_of(ErrorCode::kIo, [&] {
    LanguagePairDataset(options, pair, {dictionary, dictionary}, {});
  });
  EXPECT_NE(error.find("Dataset not found: valid (" + folder + ")"), std::string::npos) << error;
  write_mmap(folder + "/valid.en-de.de", kSentences);
  EXPECT_FALSE(LanguagePairDataset(options, pair, {dictionary, dictionary}, {}).has_targets());
  write_mmap(folder + "/valid.en-de.en", {{9, 2}, {8, 2}, {2}});
  const LanguagePairDataset both(options, pair, {dictionary, dictionary}, {});
  EXPECT_TRUE(both.has_targets());
  EXPECT_EQ(both.source(2), kSentences[2]);
  EXPECT_EQ(both.target(1), (std::vector<std::int64_t>{8, 2}));
  EXPECT_EQ(both.target_size(2), 1);
  write_mmap(folder + "/valid.en-de.en", {{9, 2}});
  error_of(ErrorCode::kModel, [&] {
    LanguagePairDataset(options, pair, {dictionary, dictionary}, {});
  });
}

TEST(LanguagePair, TruncationKeepsFairseqsSizes) {
  const std::string folder = scratch_folder();
  write_mmap(folder + "/test.a-b.a", {{4, 5, 6, 7, 8, 2}, {4, 5, 2}, {2}, {2, 2, 4, 2, 2}});
  DataOptions options;
  options.data = folder;
  options.truncate_source = true;
  options.max_source_positions = 4;
  const text::Dictionary dictionary;
  const LanguagePairDataset dataset(options, {folder, "a", "b"}, {dictionary, dictionary}, {});
  EXPECT_EQ(dataset.source(0), (std::vector<std::int64_t>{4, 5, 6, 2}));
  EXPECT_EQ(dataset.source(1), (std::vector<std::int64_t>{4, 5, 2}));
  EXPECT_EQ(dataset.source(2), (std::vector<std::int64_t>{2}));
  EXPECT_EQ(dataset.source(3), (std::vector<std::int64_t>{4, 2}));
  EXPECT_EQ(dataset.source_size(0), 4);
  EXPECT_EQ(dataset.source_size(1),
            4);  // one more than there are: fairseq adds the eos it stripped
  EXPECT_EQ(dataset.source_size(2), 2);
}

}  // namespace
}  // namespace elbeam::fairseq
