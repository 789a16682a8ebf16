// Goldens of stock fairseq, scratch folders and data-bin files for the tests of fairseq_bridge.
#pragma once

#include "base/checked_math.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace elbeam::fairseq {

using Sentences = std::vector<std::vector<std::int64_t>>;

// tests/data/bridge/goldens.json, made by make_goldens.py beside it.
inline nlohmann::json goldens(const char* section) {
  std::ifstream file(std::string(ELBEAM_TEST_DATA) + "/bridge/goldens.json");
  nlohmann::json all = nlohmann::json::parse(file);
  EXPECT_FALSE(all.at(section).empty());
  return all.at(section);
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// An empty folder of its own for the running test.
inline std::string scratch_folder() {
  const auto* info = testing::UnitTest::GetInstance()->current_test_info();
  const auto folder = std::filesystem::path(testing::TempDir()) /
                      (std::string("elbeam_") + info->test_suite_name() + "_" + info->name());
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder.string();
}

template <typename T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

// The .idx file of sentences that lie one after the other in the .bin file.
inline std::string mmap_index(const std::vector<std::int32_t>& sizes, std::uint8_t type,
                              std::int64_t element_bytes) {
  std::string bytes("MMIDIDX\0\0", 9);
  bytes += bytes_of<std::uint64_t>(1) + bytes_of(type) + bytes_of<std::uint64_t>(sizes.size());
  for (const std::int32_t size : sizes) bytes += bytes_of(size);
  std::int64_t pointer = 0;
  for (const std::int32_t size : sizes) {
    bytes += bytes_of(pointer);
    pointer += size * element_bytes;
  }
  return bytes;
}

// Writes prefix.idx and prefix.bin with elements of type T.
template <typename T = std::uint16_t>
void write_mmap(const std::string& prefix, const Sentences& sentences, std::uint8_t type = 8) {
  std::vector<std::int32_t> sizes;
  std::string data;
  for (const auto& sentence : sentences) {
    sizes.push_back(static_cast<std::int32_t>(sentence.size()));
    for (const std::int64_t token : sentence) data += bytes_of(static_cast<T>(token));
  }
  write_file(prefix + ".idx", mmap_index(sizes, type, sizeof(T)));
  write_file(prefix + ".bin", data);
}

}  // namespace elbeam::fairseq
