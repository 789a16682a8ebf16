#include "archive/crc32.hpp"

#include "base/checked_math.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <random>
#include <vector>

namespace elbeam::archive {
namespace {

TEST(Crc32, IsThatOfZlib) {
  std::mt19937 random(1);
  std::vector<std::byte> bytes(5000);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  for (std::size_t length = 0; length < 400; ++length) {
    const auto part = std::span(bytes).subspan(length % 37, length);
    const auto start = static_cast<std::uint32_t>(length % 3 == 0 ? 0 : random());
    EXPECT_EQ(crc32(start, part),
              crc32_z(start, reinterpret_cast<const Bytef*>(part.data()), part.size()))
        << length;
  }
  const auto all = std::span<const std::byte>(bytes);
  EXPECT_EQ(crc32(crc32(0, all.first(1234)), all.subspan(1234)), crc32(0, all));
  EXPECT_EQ(crc32(0, all), crc32_z(0, reinterpret_cast<const Bytef*>(all.data()), all.size()));
}

}  // namespace
}  // namespace elbeam::archive
