// TorchScript archives: their configuration, dictionaries and modules, and files that break them.
#include "archive/model_files.hpp"

#include <gtest/gtest.h>

namespace elbeam::test {
namespace {

using enum ErrorCode;

TEST(ScriptArchive, FactsOfTheArchiveAreBesideModelAndTask) {
  const auto file = open_bytes(ScriptParts().bytes());
  EXPECT_EQ(file->config(),
            (nlohmann::json{{"model", {{"a", 1}}},
                            {"task", {{"b", 2}}},
                            {"elbeam", {{"format_version", 1}, {"kind", "seq2seq"}, {"c", 3}}}}));
  EXPECT_EQ(*file->extra_file("dict.src.txt"), "a 1\n");
  EXPECT_EQ(file->extra_file("dict.tgt.txt"), nullptr);
  EXPECT_EQ(file->tensors().size(), 1U);
  EXPECT_EQ(file->tensors().count("encoder.weight"), 1U);
}

testing::AssertionResult config_refused(const std::string& config, ErrorCode code,
                                        const std::string& part) {
  ScriptParts parts;
  parts.config = config;
  return refused(parts.bytes(), code, part);
}

TEST(ScriptAttack, NoConfiguration) {
  auto entries = ScriptParts().entries();
  entries.erase(entries.begin() + 1);
  EXPECT_TRUE(refused(write_zip(entries).bytes, kUnsupported, "without config.json"));
}
TEST(ScriptAttack, ConfigurationOfANewerProgram) {
  EXPECT_TRUE(config_refused(R"({"format_version": 2})", kUnsupported, "use a newer elbeam"));
  EXPECT_TRUE(config_refused(R"({"format_version": 18446744073709551615})", kUnsupported, ""));
}
TEST(ScriptAttack, ConfigurationWithoutVersion) {
  EXPECT_TRUE(config_refused("{}", kFormat, "format_version"));
  EXPECT_TRUE(config_refused("[]", kFormat, "format_version"));
  EXPECT_TRUE(config_refused(R"({"format_version": "1"})", kFormat, "format_version"));
}
TEST(ScriptAttack, ConfigurationIsNotJson) {
  for (const std::string config : {"", "{", "{} {}", "{'a': 1}", "\xff", "nan"}) {
    EXPECT_TRUE(config_refused(config, kFormat, "not JSON")) << config;
  }
}
TEST(ScriptAttack, ConfigurationIsTooDeep) {
  EXPECT_TRUE(config_refused(std::string(1'000'000, '['), kLimit, "nests deeper"));
  EXPECT_TRUE(config_refused(
      R"({"format_version": 1, "x": )" + std::string(40, '[') + std::string(40, ']') + "}", kLimit,
      "nests deeper"));
}
TEST(ScriptAttack, ConfigurationIsTooLong) {
  EXPECT_TRUE(config_refused(R"({"format_version": 1})" + std::string(17 << 20, ' '), kLimit,
                             "the limit is"));
}

testing::AssertionResult root_refused(const std::string& root, ErrorCode code,
                                      const std::string& part) {
  ScriptParts parts;
  parts.root = root;
  return refused(parts.bytes(), code, part);
}

TEST(ScriptAttack, RootIsNotAModule) {
  EXPECT_TRUE(root_refused(py::list({}), kFormat, "is not a module"));
  EXPECT_TRUE(
      root_refused(py::call(py::global("__torch__", "Both"), {}), kFormat, "is not a module"));
}
TEST(ScriptAttack, ModuleThatContainsItself) {
  const std::string self =
      py::global("__torch__", "A") + ")\x81" + py::put(3) + "}" + py::text("x") + py::get(3) + "sb";
  EXPECT_TRUE(root_refused(self, kLimit, "modules nest deeper"));
}
TEST(ScriptAttack, ModulesSharedOnEveryLevel) {
  std::string module = ScriptParts::module({}) + py::put(100);
  for (std::uint32_t level = 101; level < 150; ++level) {
    module += "0" + ScriptParts::module({{"a", py::get(level - 1)}, {"b", py::get(level - 1)}}) +
              py::put(level);
  }
  EXPECT_TRUE(root_refused(module, kLimit, "attributes"));
}
TEST(ScriptAttack, LongNamesOfModules) {
  const std::string name(250, 'x');
  std::string module = ScriptParts::module({});
  for (int level = 0; level < 3; ++level) module = ScriptParts::module({{name, module}});
  EXPECT_TRUE(root_refused(module, kLimit, "has more than 512 bytes"));
}
TEST(ScriptAttack, TensorShorterThanItsShape) {
  auto entries = ScriptParts().entries();
  entries[2].data.resize(20);
  EXPECT_TRUE(refused(write_zip(entries).bytes, kIntegrity, "expected 24 bytes"));
}
TEST(ScriptAttack, CallsInThePickle) {
  EXPECT_TRUE(root_refused(py::call(py::global("os", "system"), {py::text("x")}), kUnsupported,
                           "os.system"));
}

// Only code/ may be compressed; it is checked and not kept.
TEST(ScriptAttack, CompressedOutsideOfCode) {
  for (const std::size_t which : {0U, 1U, 2U, 3U, 5U}) {
    auto entries = ScriptParts().entries();
    entries[which].compress = true;
    EXPECT_TRUE(refused(write_zip(entries).bytes, kUnsupported, "compressed")) << which;
  }
}
TEST(ScriptAttack, DamagedCode) {
  const ScriptParts parts;
  const ZipBytes whole = write_zip(parts.entries());
  const ZipOffsets at = whole.at.at("m/code/__torch__.py");
  // The bits of the last byte that follow the end of the stream belong to nothing.
  for (std::size_t i = at.data; i + 1 < at.descriptor; ++i) {
    std::string changed = whole.bytes;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    EXPECT_TRUE(refused(changed, kIntegrity, "code/__torch__.py")) << i;
  }
}
TEST(ScriptAttack, CodeOfAnotherSize) {
  for (const std::uint32_t size : {0U, 10U, 1000U}) {
    ZipBytes zip = write_zip(ScriptParts().entries());
    const ZipOffsets at = zip.at.at("m/code/__torch__.py");
    zip.set(at.central + field::kSize, size).set(at.descriptor + 12, size);
    EXPECT_TRUE(refused(zip.bytes, kIntegrity, "compressed data is damaged")) << size;
  }
}
// A bomb that says it is small: unpacking ends where its size does.
TEST(ScriptAttack, CodeThatUnpacksToMoreThanItSays) {
  ScriptParts parts;
  parts.code = std::string(64 << 20, '\0');
  ZipBytes zip = write_zip(parts.entries());
  const ZipOffsets at = zip.at.at("m/code/__torch__.py");
  zip.set<std::uint32_t>(at.central + field::kSize, 10).set<std::uint32_t>(at.descriptor + 12, 10);
  EXPECT_TRUE(refused(zip.bytes, kIntegrity, "compressed data is damaged"));
}
TEST(ScriptAttack, CodeThatUnpacksToMuch) {
  ScriptParts parts;
  parts.code = std::string(17 << 20, '\0');
  EXPECT_TRUE(refused(parts.bytes(), kLimit, "bytes of code"));
  parts.code.resize(9 << 20);
  auto entries = parts.entries();
  entries.push_back({"m/code/b.py", parts.code, true, true});
  EXPECT_TRUE(refused(write_zip(entries).bytes, kLimit, "bytes of code"));
}

}  // namespace
}  // namespace elbeam::test
