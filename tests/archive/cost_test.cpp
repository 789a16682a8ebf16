// Small files that would take gigabytes or hours: what one long string, dict or module is
// multiplied by when everything refers to it. Each is refused, or read in proportion to its size.
#include "archive/model_files.hpp"
#include "base/limits.hpp"

#include <gtest/gtest.h>
#include <malloc.h>

namespace elbeam::test {
namespace {

using enum ErrorCode;

std::string times(int count, const std::string& part) {
  std::string all;
  all.reserve(part.size() * static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) all += part;
  return all;
}

std::string checkpoint_with(const std::string& value) {
  return py::pickle(
      py::dict({{"model", model_state({{"weight", py::tensor({})}})}, {"extra", value}}));
}
std::string with_config(const std::string& value) {
  return zip_of(
      py::pickle(py::dict({{"cfg", value}, {"model", model_state({{"weight", py::tensor({})}})}})));
}

// 300,000 pairs that no option has as a name, as memo 6.
std::string large_dict() { return "}(" + std::string(600'000, 'N') + "u" + "q\x06"; }

TEST(Cost, LongKeyOfEveryStorage) {
  const std::string id =
      py::tuple({py::text("storage"), py::global("torch", "FloatStorage"),
                 py::text(std::string(50 << 20, 'k')), py::text("cpu"), "K\x06"});
  const std::string all = "(" + id + py::put(1) + times(200'000, "h\x01Q") + "t";
  LegacyParts parts;
  parts.pickle = py::pickle(
      py::dict({{"model", model_state({{"a", LegacyParts::rebuild()}})}, {"extra", all}}));
  EXPECT_TRUE(refused(parts.bytes(), kLimit, "a storage's key has more than 512 bytes"));
}
TEST(Cost, DifferentLongNamesOfGlobals) {
  std::string all = "(";
  for (std::uint32_t i = 0; i < 100; ++i) {
    all += py::text("fairseq." + std::to_string(i) + std::string(200, 'm')) + py::put(i) + "0";
    all += py::text(std::to_string(i) + std::string(200, 'n')) + py::put(100 + i) + "0";
  }
  for (std::uint32_t i = 0; i < 100; ++i) {
    for (std::uint32_t j = 100; j < 200; ++j) all += py::get(i) + py::get(j) + "\x93";
  }
  EXPECT_TRUE(refused(zip_of(checkpoint_with(all + "t")), kLimit, "4096 different globals"));
}
TEST(Cost, LargeDictInEveryPlaceOfAConfiguration) {
  EXPECT_TRUE(refused(with_config("(" + large_dict() + times(90'000, "h\x06") + "t"), kLimit,
                      "more than 100000 values"));
}
TEST(Cost, LargeStateOfEveryOmegaConfNode) {
  // Without its own state to read, each of these nodes is one null.
  const std::string node = py::global("omegaconf.nodes", "AnyNode") + "q\x05";
  const std::string nodes = "(" + node + large_dict() +
                            times(90'000,
                                  "h\x05)\x81h\x06"
                                  "b") +
                            "t";
  EXPECT_TRUE(refused(with_config(nodes), kLimit, "more than 100000 values"));
  EXPECT_NO_THROW(open_bytes(with_config("(" + large_dict() + "0" + node +
                                         times(90'000,
                                               "h\x05)\x81h\x06"
                                               "b") +
                                         "t")));
}
TEST(Cost, ArchiveConfigurationOfManyValues) {
  ScriptParts parts;
  parts.config = R"({"format_version": 1, "x": [)" + times(3'000'000, "[],") + "0]}";
  EXPECT_TRUE(refused(parts.bytes(), kLimit, "more than 100000 values"));
}
TEST(Cost, LargePicklesBeforeAndAfterTheCheckpoint) {
  const std::string large = "(" + std::string(400'000, '}') + "t";
  for (const int which : {0, 1, 2, 3}) {
    LegacyParts parts;
    std::string* const pickles[] = {&parts.magic, &parts.protocol, &parts.system, &parts.keys};
    *pickles[which] = py::pickle(large);
    EXPECT_TRUE(refused(parts.bytes(), kFormat, "are left")) << which;
  }
}
TEST(Cost, LongNameInAZipsDirectory) {
  auto entries = zip_entries(checkpoint_pickle(py::tensor({})));
  entries.push_back({"model/" + std::string(510, 'x'), ""});
  EXPECT_TRUE(refused(write_zip(entries).bytes, kLimit, "the limit is 512"));
}

// Bytes that this process has grown by at most during the call; nothing where Linux does not say.
template <typename Function>
std::int64_t peak_growth(Function&& function) {
  const auto field = [](const char* name) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind(name, 0) == 0) return std::atoll(line.c_str() + std::strlen(name)) * 1024;
    }
    return 0LL;
  };
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5;  // forgets the peak so far
  const std::int64_t before = field("VmRSS:");
  function();
  return field("VmHWM:") - before;
}

// GCC says it with macros, clang with features.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

void expect_in_proportion(const std::string& bytes, const char* what) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer's own memory would be counted";
  const std::int64_t growth = peak_growth([&] { open_bytes(bytes); });
  EXPECT_GT(growth, 1 << 20) << what << ": not measured";
  EXPECT_LT(growth, 2 * static_cast<std::int64_t>(bytes.size()) + (64 << 20)) << what;
}

// A pickle can have one byte for a value, and a value has 56 here: the limits keep the product
// small.
TEST(Cost, MemoryIsInProportion) {
  struct Case {
    const char* name;
    std::string value;
  };
  const std::vector<Case> cases{
      {"dicts", "(" + std::string(499'000, '}') + "t"},
      {"references", "(" + std::string(1'490'000, 'N') + "t"},
      {"dicts, memo and references", "(" + std::string(490'000, '}') +
                                         std::string(490'000, '\x94') + std::string(990'000, 'N') +
                                         "t"},
      {"lists of one", "(" + times(490'000, "]Na") + "t"},
      {"lists of two, each in the memo", "(" + times(490'000, "]\x94NaNa") + "t"},
      {"tuples of one", "(" + times(490'000, "N\x85") + std::string(490'000, '\x94') +
                            std::string(490'000, 'N') + "t"},
      {"objects", "(" + py::global("argparse", "N") + "q\x01" + times(490'000, "h\x01)R") + "t"}};
  for (const Case& sample : cases) {
    expect_in_proportion(zip_of(checkpoint_with(sample.value)), sample.name);
  }
}

// All but the last letters of these 65,000 names are in the file once.
TEST(Cost, LongNamesOfOneTensor) {
  py::Pairs names{{"first", py::tensor({}) + py::put(1)}};
  for (int i = 0; i < 65'000; ++i) names.emplace_back(std::to_string(i), py::get(1));
  ScriptParts parts;
  parts.root = ScriptParts::module({{std::string(500, 'x'), ScriptParts::module(names)}});
  expect_in_proportion(parts.bytes(), "names");
}

}  // namespace
}  // namespace elbeam::test
