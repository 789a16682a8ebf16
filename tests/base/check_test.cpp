// Error codes, messages, checked arithmetic, log levels.
#include "base/check.hpp"

#include "base/aligned_buffer.hpp"
#include "base/checked_math.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <iomanip>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace elbeam {
namespace {

using test::throws;

// The table of the manual: a script that acts on the exit status depends on it.
const std::vector<std::pair<ErrorCode, int>> kExitCodes = {
    {ErrorCode::kUsage, 2},         {ErrorCode::kIo, 3},
    {ErrorCode::kFormat, 3},        {ErrorCode::kIntegrity, 3},
    {ErrorCode::kLimit, 3},         {ErrorCode::kUnsupported, 3},
    {ErrorCode::kModel, 3},         {ErrorCode::kOutOfMemory, 4},
    {ErrorCode::kDevice, 4},        {ErrorCode::kFairseqFails, 1},
    {ErrorCode::kInterrupted, 130}, {ErrorCode::kInternal, 70}};

TEST(Error, ExitCodesAndNames) {
  std::set<std::string> names;
  for (const auto& [code, status] : kExitCodes) {
    EXPECT_EQ(exit_code(code), status) << error_code_name(code);
    names.insert(error_code_name(code));
  }
  EXPECT_EQ(names.size(), kExitCodes.size());
  EXPECT_STREQ(error_code_name(ErrorCode::kOutOfMemory), "out_of_memory");
}

TEST(Check, ComposesTheMessage) {
  EXPECT_TRUE(throws(ErrorCode::kFormat, "file: 3 of 4",
                     [] { fail(ErrorCode::kFormat, "file: ", 3, " of ", 4); }));
  EXPECT_TRUE(throws(ErrorCode::kLimit, "too many: 5",
                     [] { ELBEAM_CHECK(1 + 1 == 3, ErrorCode::kLimit, "too many: ", 5); }));
  int evaluated = 0;
  ELBEAM_CHECK(++evaluated == 1, ErrorCode::kLimit, "never");
  EXPECT_EQ(evaluated, 1);
}

TEST(Check, InvariantNamesPlaceAndCondition) {
  EXPECT_TRUE(throws(ErrorCode::kInternal, "check_test.cpp", [] { ELBEAM_INVARIANT(2 > 3); }));
  EXPECT_TRUE(throws(ErrorCode::kInternal, "2 > 3", [] { ELBEAM_INVARIANT(2 > 3); }));
}

TEST(Quoted, EscapesAndCuts) {
  EXPECT_EQ(quoted(""), "''");
  EXPECT_EQ(quoted("a b"), "'a b'");
  EXPECT_EQ(quoted(std::string_view("\0\n\x7f\xff\\", 5)), "'\\x00\\x0a\\x7f\\xff\\x5c'");
  EXPECT_EQ(quoted("\x1b[2J"), "'\\x1b[2J'");  // no terminal sequences from a file
  EXPECT_EQ(quoted("abcdef", 3), "'abc...'");
  EXPECT_EQ(quoted("abc", 3), "'abc'");
}

// With <iomanip> included, std::quoted would be the better match for a std::string.
TEST(Quoted, StringsAreNotLeftToTheStandardLibrary) {
  const std::string hostile = "a\n\x1b[2J\"" + std::string(100, 'x');
  EXPECT_EQ(concat(quoted(hostile)), concat("'a\\x0a\\x1b[2J\"", std::string(73, 'x'), "...'"));
}

TEST(CheckedMath, AddAndMultiply) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(checked_add(kMax, std::int64_t{0}), kMax);
  EXPECT_EQ(checked_mul(std::int64_t{1} << 31, std::int64_t{1} << 31), std::int64_t{1} << 62);
  EXPECT_TRUE(throws(ErrorCode::kLimit, "+", [] { checked_add(kMax, std::int64_t{1}); }));
  EXPECT_TRUE(throws(ErrorCode::kLimit, "+", [] { checked_add(kMin, std::int64_t{-1}); }));
  EXPECT_TRUE(throws(ErrorCode::kLimit, "*", [] { checked_mul(kMin, std::int64_t{-1}); }));
  EXPECT_TRUE(throws(ErrorCode::kLimit, "*",
                     [] { checked_mul(std::size_t{1} << 33, std::size_t{1} << 33); }));
}

TEST(CheckedMath, Narrow) {
  EXPECT_EQ((narrow<std::uint8_t>(255)), 255);
  EXPECT_EQ((narrow<std::int64_t>(std::uint64_t{7})), 7);
  EXPECT_TRUE(throws(ErrorCode::kLimit, "256", [] { narrow<std::uint8_t>(256); }));
  EXPECT_TRUE(throws(ErrorCode::kLimit, "-1", [] { narrow<std::uint64_t>(-1); }));
  EXPECT_TRUE(throws(ErrorCode::kLimit, "range",
                     [] { narrow<std::int64_t>(std::numeric_limits<std::uint64_t>::max()); }));
}

TEST(AlignedBuffer, GrowsAndRefuses) {
  AlignedBuffer<float> buffer(3);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0U);
  const float* before = buffer.data();
  buffer.reserve(2);
  EXPECT_EQ(buffer.data(), before);
  EXPECT_EQ(buffer.capacity(), 3);
  buffer.reserve(1000);
  EXPECT_EQ(buffer.bytes(), 4000);
  EXPECT_TRUE(throws(ErrorCode::kLimit, "overflow",
                     [&] { buffer.reserve(std::numeric_limits<std::int64_t>::max()); }));
}

}  // namespace
}  // namespace elbeam
