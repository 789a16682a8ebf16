#include "fairseq_bridge/batching.hpp"

#include <elbeam/error.hpp>

#include "bridge/bridge_support.hpp"
#include "fairseq_bridge/language_pair_dataset.hpp"
#include "fairseq_bridge/row_order.hpp"

namespace elbeam::fairseq {
namespace {

using Ints = std::vector<std::int64_t>;

// A data set whose sentences have the given lengths.
LanguagePairDataset dataset_of(const Ints& source_sizes, const Ints& target_sizes) {
  const std::string folder = scratch_folder();
  const auto sentences = [](const Ints& sizes) {
    Sentences out;
    for (const std::int64_t size : sizes) out.emplace_back(usize(size), 5);
    return out;
  };
  write_mmap(folder + "/test.a-b.a", sentences(source_sizes));
  if (!target_sizes.empty()) write_mmap(folder + "/test.a-b.b", sentences(target_sizes));
  DataOptions options;
  options.data = folder;
  const text::Dictionary dictionary;
  return {options, {folder, "a", "b"}, {dictionary, dictionary}, {}};
}

TEST(Batching, PermutationIsNumpys) {
  for (const auto& golden : goldens("permutations")) {
    const Ints expected = golden.at("values");
    EXPECT_EQ(numpy_permutation(golden.at("seed"), ssize(expected.size())), expected);
  }
  EXPECT_TRUE(numpy_permutation(1, 0).empty());
}

TEST(Batching, OrderIsFairseqs) {
  for (const auto& golden : goldens("orders")) {
    const Ints target = golden.at("target").is_null() ? Ints{} : golden.at("target").get<Ints>();
    const auto dataset = dataset_of(golden.at("source"), target);
    EXPECT_EQ(pair_order(dataset, golden.at("shuffle"), golden.at("numpy_seed")),
              golden.at("values").get<Ints>());
  }
}

TEST(Batching, BatchesAreFairseqs) {
  for (const auto& golden : goldens("batches")) {
    BatchLimits limits;
    limits.max_tokens = golden.at("max_tokens");
    limits.max_sentences = golden.at("max_sentences");
    limits.multiple = golden.at("multiple");
    EXPECT_EQ(batch_sizes(golden.at("sizes"), limits), golden.at("batches").get<Ints>())
        << golden.dump();
  }
}

TEST(Batching, SentenceAboveMaxTokensIsRefused) {
  BatchLimits limits;
  limits.max_tokens = 9;
  try {
    batch_sizes({3, 10, 4}, limits);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kModel);
    EXPECT_NE(std::string(error.what()).find("Sentences lengths should not exceed max_tokens=9"),
              std::string::npos);
  }
}

TEST(Batching, SizeOfASentenceIsItsLongerSide) {
  const auto dataset = dataset_of({2, 3, 4}, {9, 1, 2});
  BatchLimits limits;
  limits.max_tokens = 10;
  limits.multiple = 1;
  EXPECT_EQ(batch_by_size(dataset, {0, 1, 2}, limits), (std::vector<Ints>{{0}, {1, 2}}));
}

TEST(Batching, FilterStopsWithFairseqsMessageOrSkips) {
  const auto dataset = dataset_of({2, 8, 4, 9}, {3, 3, 7, 3});
  SizeLimits limits{8, 6, false};
  try {
    filter_by_size(dataset, {3, 0, 1, 2}, limits);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kModel);
    EXPECT_STREQ(error.what(),
                 "Size of sample #3 is invalid (=(9, 3)) since max_positions=(8, 6), skip this "
                 "example with --skip-invalid-size-inputs-valid-test");
  }
  limits.skip_invalid = true;
  testing::internal::CaptureStderr();
  EXPECT_EQ(filter_by_size(dataset, {3, 0, 1, 2}, limits), (Ints{0, 1}));
  EXPECT_NE(testing::internal::GetCapturedStderr().find(
                "2 samples have invalid sizes and will be skipped, max_positions=(8, 6), first few "
                "sample ids=[3, 2]"),
            std::string::npos);
}

TEST(Batching, RowsAreInFairseqsOrder) {
  for (const auto& golden : goldens("rows")) {
    EXPECT_EQ(sort_rows_descending(golden.at("lengths")), golden.at("ids").get<Ints>());
  }
  EXPECT_TRUE(sort_rows_descending({}).empty());
}

}  // namespace
}  // namespace elbeam::fairseq
