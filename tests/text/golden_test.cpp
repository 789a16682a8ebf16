// Against Python and stock fairseq: tests/data/text/make_golden.py wrote their answers.
#include <elbeam/error.hpp>

#include "text/bpe.hpp"
#include "text/dictionary.hpp"
#include "text/post_process.hpp"
#include "text/python_format.hpp"
#include "text/python_string.hpp"
#include "text/utf8.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace elbeam::text {
namespace {

using Fields = std::vector<std::string>;

std::string from_hex(const std::string& hex) {
  std::string out;
  if (hex == "-") return out;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return out;
}

double double_of(const std::string& bits) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(std::stoull(bits, nullptr, 16)));
}

// Lines of one kind, without their first field.
std::vector<Fields> golden_lines(const std::vector<std::string>& kinds) {
  std::ifstream file(std::string(ELBEAM_TEST_DATA) + "/text/text.golden");
  std::vector<Fields> lines;
  for (std::string line; std::getline(file, line);) {
    std::istringstream stream(line);
    Fields fields;
    for (std::string field; stream >> field;) fields.push_back(field);
    for (const std::string& kind : kinds) {
      if (fields[0] == kind) lines.push_back(fields);
    }
  }
  EXPECT_GE(lines.size(), 40U);
  return lines;
}

TEST(TextGolden, Repr) {
  for (const Fields& f : golden_lines({"repr"})) EXPECT_EQ(python_repr(double_of(f[1])), f[2]);
}

TEST(TextGolden, Fixed) {
  for (const Fields& f : golden_lines({"fixed"})) {
    EXPECT_EQ(python_fixed(double_of(f[2]), std::stoi(f[1])), f[3]);
  }
}

TEST(TextGolden, Thousands) {
  for (const Fields& f : golden_lines({"thousands"})) {
    EXPECT_EQ(python_thousands(std::stoll(f[1])), f[2]);
  }
}

TEST(TextGolden, SplitAndEncodeLine) {
  for (const Fields& f : golden_lines({"split"})) {
    const std::string text = from_hex(f[1]);
    const std::vector<std::string_view> words = split_words(text);
    ASSERT_EQ(words.size(), f.size() - 2) << f[1];
    Dictionary dictionary;
    const std::vector<std::int64_t> ids = dictionary.encode_line_adding(text);
    ASSERT_EQ(ids.size(), words.size() + 1);
    for (std::size_t i = 0; i < words.size(); ++i) {
      EXPECT_EQ(words[i], from_hex(f[i + 2])) << f[1];
      EXPECT_EQ(dictionary.symbol(ids[i]), words[i]);
    }
    EXPECT_EQ(ids.back(), 2);
    EXPECT_EQ(dictionary.encode_line(text), ids);
  }
}

TEST(TextGolden, Strip) {
  for (const Fields& f : golden_lines({"strip"})) {
    const std::string text = from_hex(f[1]);
    EXPECT_EQ(strip(text), from_hex(f[2])) << f[1];
    EXPECT_EQ(strip_right(text), from_hex(f[3])) << f[1];
  }
}

TEST(TextGolden, Int) {
  for (const Fields& f : golden_lines({"int"})) {
    const std::optional<std::int64_t> value = parse_int(from_hex(f[1]));
    if (f[2] == "ValueError") {
      EXPECT_FALSE(value) << f[1];
    } else {
      EXPECT_EQ(value, std::stoll(f[2])) << f[1];
    }
  }
}

TEST(TextGolden, Utf8WithReplacement) {
  int valid = 0;
  for (const Fields& f : golden_lines({"utf8"})) {
    const std::string bytes = from_hex(f[1]);
    const std::string expected = from_hex(f[2]);
    EXPECT_EQ(utf8_with_replacement(bytes), expected) << f[1];
    EXPECT_EQ(!find_invalid_utf8(bytes), bytes == expected) << f[1];
    valid += bytes == expected ? 1 : 0;
  }
  EXPECT_GT(valid, 10);
}

TEST(TextGolden, PostProcess) {
  for (const Fields& f : golden_lines({"post"})) {
    EXPECT_EQ(post_process(from_hex(f[2]), from_hex(f[1])), from_hex(f[3])) << f[1] << ' ' << f[2];
  }
}

TEST(TextGolden, Dictionaries) {
  std::optional<Dictionary> dictionary;
  for (const Fields& f : golden_lines({"dict", "index", "string"})) {
    if (f[0] == "dict" && f[2] == "error") {
      EXPECT_THROW(Dictionary::parse(from_hex(f[1]), "golden"), Error) << f[1];
    } else if (f[0] == "dict") {
      dictionary = Dictionary::parse(from_hex(f[1]), "golden");
      ASSERT_EQ(dictionary->size(), static_cast<std::int64_t>(f.size()) - 3 + 4) << f[1];
      for (std::size_t i = 3; i < f.size(); ++i) {
        EXPECT_EQ(dictionary->symbol(static_cast<std::int64_t>(i) + 1), from_hex(f[i])) << f[1];
      }
    } else if (f[0] == "index") {
      for (std::size_t i = 1; i < f.size(); ++i) {
        const std::string& symbol = dictionary->symbol(static_cast<std::int64_t>(i) + 3);
        EXPECT_EQ(dictionary->index(symbol), std::stoll(f[i]));
      }
    } else {
      std::vector<std::int64_t> tokens;
      for (std::size_t i = 3; i < f.size(); ++i) tokens.push_back(std::stoll(f[i]));
      EXPECT_EQ(dictionary->string(tokens), from_hex(f[1]));
      EXPECT_EQ(dictionary->string(tokens, true, {4}), from_hex(f[2]));
    }
  }
}

TEST(TextGolden, Gpt2) {
  BpeOptions options;
  options.name = "gpt2";
  options.gpt2_encoder_json = std::string(ELBEAM_TEST_DATA) + "/text/encoder.json";
  const auto bpe = make_bpe(options);
  int errors = 0;
  for (const Fields& f : golden_lines({"gpt2"})) {
    if (f[2] != "error") {
      EXPECT_EQ(bpe->decode(from_hex(f[1])), from_hex(f[2])) << f[1];
      continue;
    }
    ++errors;
    EXPECT_THROW(bpe->decode(from_hex(f[1])), Error) << from_hex(f[1]);
  }
  EXPECT_GE(errors, 10);
}

}  // namespace
}  // namespace elbeam::text
