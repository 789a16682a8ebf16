#include "eval/sorted_texts.hpp"

#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace elbeam::eval {
namespace {

using Record = std::tuple<std::int64_t, char, std::int64_t, std::string>;

std::vector<Record> random_records(std::size_t count, std::mt19937& random) {
  std::vector<Record> records;
  for (std::size_t i = 0; i < count; ++i) {
    // Now and then longer than all memory, and than what is read at once.
    const std::size_t size = random() % 50 == 0 ? 40'000 + random() % 40'000 : random() % 100;
    records.emplace_back(random() % (count / 2 + 1), random() % 2 == 0 ? 'D' : 'H', i,
                         std::string(size, static_cast<char>(random() % 256)));
  }
  return records;
}

std::vector<Record> sorted(const std::vector<Record>& records, std::size_t memory) {
  SortedTexts texts(memory);
  for (const auto& [id, kind, line, text] : records) texts.add({id, kind, line, text});
  std::vector<Record> all;
  for (NumberedText one; texts.next(one);) {
    all.emplace_back(one.id, one.kind, one.line, std::string(one.text));
  }
  NumberedText none;
  EXPECT_FALSE(texts.next(none));
  return all;
}

TEST(SortedTexts, AreInOrderHoweverLittleMemoryThereIs) {
  std::mt19937 random(3);
  for (const std::size_t count : {0UL, 1UL, 2UL, 500UL}) {
    const auto records = random_records(count, random);
    auto expected = records;
    std::sort(expected.begin(), expected.end());
    for (const std::size_t memory : {1UL, 2'000UL, 100'000UL, 1UL << 30}) {
      EXPECT_EQ(sorted(records, memory), expected) << count << " in " << memory;
    }
  }
}

TEST(SortedTexts, SayWhereNoTemporaryFileCanBe) {
  const char* const before = std::getenv("TMPDIR");
  const std::string kept = before != nullptr ? before : "";
  setenv("TMPDIR", "/nowhere/at/all", 1);
  const std::vector<Record> records{{0, 'T', 1, "a"}, {1, 'T', 2, "b"}};
  EXPECT_EQ(sorted(records, 1000), records);  // needs none
  EXPECT_TRUE(test::throws(ErrorCode::kIo, "/nowhere/at/all", [&] { sorted(records, 1); }));
  if (before != nullptr) {
    setenv("TMPDIR", kept.c_str(), 1);
  } else {
    unsetenv("TMPDIR");
  }
}

}  // namespace
}  // namespace elbeam::eval
