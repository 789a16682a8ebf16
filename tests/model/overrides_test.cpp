// Python literals of --model-overrides.
#include "model/overrides.hpp"

#include <elbeam/error.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace elbeam::model {
namespace {

using nlohmann::json;

TEST(PythonLiteral, ReadsWhatPythonReads) {
  const json value = parse_python_literal(
      " {'a': 1, \"b\": [True, None, (1, 2.5,)], 'c': {'d': 'x\\n\\x41\\u00e9\\\\'}, 'e': -1e3, "
      "'f': (3), 'g': 1_000, 'h': (),} ");
  EXPECT_EQ(value.at("a"), 1);
  EXPECT_EQ(value.at("b"), json({true, nullptr, json::array({1, 2.5})}));
  EXPECT_EQ(value.at("c").at("d"), "x\nA\xC3\xA9\\");
  EXPECT_EQ(value.at("e"), -1000.0);
  EXPECT_EQ(value.at("f"), 3);
  EXPECT_EQ(value.at("g"), 1000);
  EXPECT_EQ(value.at("h"), json::array());
  EXPECT_EQ(parse_python_literal("{}"), json::object());
}

TEST(PythonLiteral, AnythingElseIsRefusedWithItsPlace) {
  for (const char* text : {"", "{", "{'a'}", "{'a': }", "{'a': 1,, }", "{1: 2}", "{'a': b}",
                           "{'a': 1} x", "'a", "[1 2]", "(1", "{'a': 'x\ny'}", "'\\x4'",
                           "'\\ud800'", "1e", "--1", "__import__('os')", "{'a': 1+}"}) {
    try {
      parse_python_literal(text);
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUsage) << text;
      EXPECT_NE(std::string(error.what()).find("at character"), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(parse_python_literal(std::string(100'000, '[')), Error);
}

TEST(ModelOverrides, ReplaceEntriesOfTheModel) {
  json config = {{"model", {{"a", 1}, {"b", 2}}}};
  override_model_config(config, "");
  override_model_config(config, "{'b': 3, 'c': None, 'data': '/x', 'model': {'a': 'y'}}");
  EXPECT_EQ(config.at("model").at("a"), "y");
  EXPECT_EQ(config.at("model").at("b"), 3);
  EXPECT_TRUE(config.at("model").at("c").is_null());
  EXPECT_THROW(override_model_config(config, "[1]"), Error);
}

}  // namespace
}  // namespace elbeam::model
