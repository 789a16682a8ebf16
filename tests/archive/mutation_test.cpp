// Random damage that knows the formats: every result is a model or an Error, whatever the bytes.
// Seeded; ELBEAM_MUTATIONS raises the count for long runs.
#include "archive/model_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>

namespace elbeam::test {
namespace {

int rounds() {
  const char* text = std::getenv("ELBEAM_MUTATIONS");
  return text != nullptr ? std::atoi(text) : 1500;
}

class Mutator {
 public:
  explicit Mutator(std::uint32_t seed) : random_(seed) {}

  // One to three changes: bits, whole integers at the borders of their type, cuts and copies.
  std::string mutate(std::string bytes) {
    for (std::size_t changes = 1 + below(3); changes > 0 && !bytes.empty(); --changes) {
      const std::size_t at = below(bytes.size());
      const std::size_t span = std::min(1 + below(16), bytes.size() - at);
      switch (below(7)) {
        case 0:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
          break;
        case 1:
          bytes[at] = static_cast<char>(below(256));
          break;
        case 2: {
          static constexpr std::uint64_t kBorders[] = {
              0, 1, 0x7f, 0xff, 0xffff, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, ~0ULL};
          const std::string value = py::raw(kBorders[below(std::size(kBorders))]);
          const std::size_t width = std::min(std::size_t{1} << below(4), bytes.size() - at);
          bytes.replace(at, width, value.substr(0, width));
          break;
        }
        case 3:
          bytes.erase(at, span);
          break;
        case 4:
          bytes.insert(at, bytes.substr(below(bytes.size()), span));
          break;
        case 5: {  // two fields change places
          const std::size_t other = below(bytes.size());
          const std::size_t width =
              std::min({std::size_t{1} << below(4), bytes.size() - at, bytes.size() - other});
          const std::string field = bytes.substr(at, width);
          bytes.replace(at, width, bytes.substr(other, width));
          bytes.replace(other, width, field);
          break;
        }
        default:
          bytes.resize(below(4) == 0 ? at : bytes.size());
      }
    }
    return bytes;
  }
  std::size_t below(std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_);
  }

 private:
  std::mt19937 random_;
};

struct Outcome {
  int accepted = 0;
  int refused = 0;
};

// Reads every element of what is accepted. Any other exception, a signal, a message without the
// file's name or a second of work fails the test.
void try_open(const std::string& bytes, Outcome& outcome, std::string* text = nullptr) {
  const auto begin = std::chrono::steady_clock::now();
  try {
    const std::string all = content(*open_bytes(bytes));
    if (text != nullptr) *text = all;
    ++outcome.accepted;
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
    EXPECT_EQ(std::string(error.what()).rfind(scratch_path() + ":", 0), 0U) << error.what();
    ++outcome.refused;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
}

std::string data(const std::string& name) {
  return read_file(std::string(ELBEAM_TEST_DATA) + "/archive/" + name);
}

// A checksum covers everything: what is accepted is the same model.
TEST(Mutation, ZipFiles) {
  Mutator mutator(1);
  Outcome outcome;
  for (const std::string& whole : {data("types.pt"), data("script.ts.pt"), zip_model().bytes}) {
    const std::string expected = content(*open_bytes(whole));
    for (int i = 0; i < rounds() / 3; ++i) {
      std::string text = expected;
      try_open(mutator.mutate(whole), outcome, &text);
      ASSERT_EQ(text, expected) << i;
    }
  }
  EXPECT_GT(outcome.refused, outcome.accepted);
}

// Damage below the checksum, as an attacker makes it: in the pickle, with everything else right.
TEST(Mutation, PicklesInsideOfZipFiles) {
  Mutator mutator(2);
  Outcome outcome;
  const std::string pickle = checkpoint_pickle(py::tensor({}));
  for (int i = 0; i < rounds(); ++i) try_open(zip_of(mutator.mutate(pickle)), outcome);
  EXPECT_GT(outcome.refused, 0);
  EXPECT_GT(outcome.accepted, 0);
}

TEST(Mutation, ModulesAndConfigurationsOfArchives) {
  Mutator mutator(3);
  Outcome outcome;
  for (int i = 0; i < rounds(); ++i) {
    ScriptParts parts;
    std::string& target = i % 2 == 0 ? parts.root : parts.config;
    target = mutator.mutate(target);
    try_open(parts.bytes(), outcome);
  }
  EXPECT_GT(outcome.refused, 0);
  EXPECT_GT(outcome.accepted, 0);
}

TEST(Mutation, LegacyFiles) {
  Mutator mutator(4);
  Outcome outcome;
  for (const std::string& whole : {data("types_legacy.pt"), LegacyParts().bytes()}) {
    for (int i = 0; i < rounds() / 2; ++i) try_open(mutator.mutate(whole), outcome);
  }
  EXPECT_GT(outcome.refused, 0);
  EXPECT_GT(outcome.accepted, 0);
}

}  // namespace
}  // namespace elbeam::test
