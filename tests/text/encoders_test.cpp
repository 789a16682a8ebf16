// Encoders against the Python originals (tests/data/encoders), and on input that none of them has
// seen.
#include "support/errors.hpp"
#include "text/bpe.hpp"
#include "text/python_string.hpp"
#include "text/tokenizer.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace elbeam::text {
namespace {

using test::throws;

std::string stored(const std::string& name) { return std::string(ELBEAM_TEST_DATA) + "/" + name; }

std::unique_ptr<Encoder> tokenizer_of(const std::string& name, const std::string& language,
                                      bool plain) {
  TokenizerOptions options;
  options.name = name;
  options.source_lang = language == "None" ? std::nullopt : std::optional(language);
  options.target_lang = options.source_lang;
  options.moses_no_dash_splits = plain;
  options.moses_no_escape = plain;
  return make_tokenizer(options);
}

// "name [file or language] [more]" as make_encoders.py writes it.
std::unique_ptr<Encoder> encoder_of(const std::string& description) {
  std::istringstream words(description);
  std::string name;
  std::string file;
  std::string more;
  words >> name >> file >> more;
  if (name == "moses" || name == "space") return tokenizer_of(name, file, more == "plain");
  BpeOptions options;
  options.name = name;
  options.codes = stored("encoders/" + file);
  options.sentencepiece_model = options.codes;
  if (!more.empty()) options.bpe_separator = more;
  options.gpt2_encoder_json = stored("squad_qg_bart/encoder.json");
  options.gpt2_vocab_bpe = stored("squad_qg_bart/vocab.bpe");
  options.hf_vocab = options.gpt2_encoder_json;
  options.hf_merges = options.gpt2_vocab_bpe;
  options.hf_add_prefix_space = file == "prefix";
  return make_bpe(options);
}

TEST(Encoders, AreThePythonOriginals) {
  std::ifstream file(stored("encoders/encoders.json"));
  const nlohmann::json cases = nlohmann::json::parse(file);
  std::map<std::string, std::unique_ptr<Encoder>> encoders;
  for (const auto& item : cases) {
    const std::string description = item[0];
    auto& encoder = encoders[description];
    if (!encoder) encoder = encoder_of(description);
    if (!item[1].is_null()) {
      const std::string line = item[1];
      if (item[2].is_null()) {
        EXPECT_THROW(encoder->encode(line), Error) << description << ": " << line;
      } else {
        EXPECT_EQ(encoder->encode(line), item[2].get<std::string>()) << description << ": " << line;
      }
    }
    if (!item[2].is_null() && !item[3].is_null()) {
      EXPECT_EQ(encoder->decode(item[2].get<std::string>()), item[3].get<std::string>())
          << description << ": " << item[2];
    }
  }
  EXPECT_EQ(encoders.size(), 19U);
}

const char* const kAll[] = {"subword_nmt codes_0.2",
                            "subword_nmt codes_0.1",
                            "gpt2",
                            "hf_byte_bpe",
                            "bytes",
                            "characters",
                            "sentencepiece sp.model",
                            "byte_bpe bytes.model",
                            "fastbpe codes_fast"};

TEST(Encoders, RefuseWhatIsNotUtf8) {
  for (const char* name : kAll) {
    const auto encoder = encoder_of(name);
    for (const char* line : {"ab\xff", "\xc3", "a\xed\xa0\x80"}) {
      EXPECT_TRUE(throws(ErrorCode::kFormat, "not UTF-8", [&] { encoder->encode(line); })) << name;
    }
  }
}

// One word of a megabyte would take a quadratic algorithm hours.
TEST(Encoders, LongLinesTakeTimeInProportion) {
  std::string word;
  while (word.size() < 1'000'000) word += "gross\u00e4nderung";
  for (const char* name : kAll) {
    const auto encoder = encoder_of(name);
    const std::string encoded = encoder->encode(word);
    // Not EXPECT_EQ, which would print megabytes. sentencepiece puts a blank in front of byte_bpe.
    EXPECT_TRUE(strip(encoder->decode(encoded)) == word) << name;
  }
}

TEST(Encoders, TokenizersTakeHardLines) {
  for (const char* name : {"moses en", "moses fr"}) {
    const auto moses = encoder_of(name);
    for (const char* unit : {"'", ".", ",", "-", "a'", "a.", "DOT", "&amp; ", "@-@ ", "\" "}) {
      std::string line;
      while (line.size() < 100'000) line += unit;
      EXPECT_LE(moses->decode(moses->encode(line)).size(), 8 * line.size());
    }
  }
  EXPECT_TRUE(
      throws(ErrorCode::kUsage, "Punkt", [] { tokenizer_of("nltk", "", false)->encode("a"); }));
  EXPECT_EQ(tokenizer_of("nltk", "", false)->decode(" a b"), " a b");
  EXPECT_TRUE(throws(ErrorCode::kUsage, "known: moses", [] { tokenizer_of("perl", "", false); }));
  const auto czech = encoder_of("moses cs");
  EXPECT_TRUE(throws(ErrorCode::kModel, "Czech", [&] { czech->decode("a' - mail x"); }));
}

// The folder of abbreviations can be one's own; without one, moses says what it misses.
TEST(Encoders, MosesReadsItsAbbreviations) {
  const std::string folder = testing::TempDir() + "elbeam_share";
  std::filesystem::create_directories(folder + "/nonbreaking_prefixes");
  std::ofstream(folder + "/nonbreaking_prefixes/nonbreaking_prefix.en")
      << "# x\nAbb\nNr #NUMERIC_ONLY#\n";
  setenv("ELBEAM_SHARE", folder.c_str(), 1);
  EXPECT_EQ(tokenizer_of("moses", "en", false)->encode("Abb. Mr. Nr. 1 Nr. X"),
            "Abb. Mr . Nr. 1 Nr . X");
  std::filesystem::remove_all(folder);
  EXPECT_TRUE(throws(ErrorCode::kIo, "ELBEAM_SHARE", [] { tokenizer_of("moses", "en", false); }));
  unsetenv("ELBEAM_SHARE");
}

void expect_refused(const std::string& name, const std::string& content) {
  const std::string path = testing::TempDir() + "elbeam_codes";
  std::ofstream(path, std::ios::binary) << content;
  BpeOptions options;
  options.name = name;
  options.codes = path;
  options.sentencepiece_model = path;
  options.hf_vocab = stored("squad_qg_bart/encoder.json");
  options.hf_merges = path;
  try {
    make_bpe(options);
    ADD_FAILURE() << name << " takes " << content;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    EXPECT_TRUE(error.code() == ErrorCode::kFormat || error.code() == ErrorCode::kUnsupported);
  }
  std::filesystem::remove(path);
}

TEST(Encoders, RefuseDamagedFiles) {
  for (const char* content :
       {"", "\n", "#version: 0.2\n", "#version: 0.3\na b\n", "#version: x\na b\n",
        "#version:\na b\n", "a\n", "a b c\n", "a  b\n", "a b\n\nc d\n", "a \xff\n"}) {
    expect_refused("subword_nmt", content);
  }
  for (const char* content :
       {"", "a\n", "a b 1\na b 2\n", "a bc 1\nab c 1\n", "a b c d\n", "\xff"}) {
    expect_refused("fastbpe", content);
  }
  for (const char* content : {"", "x", "\n\x05hello", "\xff\xff\xff\xff"}) {
    expect_refused("sentencepiece", content);
    expect_refused("byte_bpe", content);
  }
  for (const char* content : {"a\n", "a b c\n", "a \n", "\u4e00 a\n"}) {
    expect_refused("hf_byte_bpe", content);
  }
}

TEST(Encoders, SayWhichFileIsMissing) {
  const std::pair<const char*, const char*> needed[] = {
      {"subword_nmt", "--bpe-codes"},
      {"fastbpe", "--bpe-codes"},
      {"sentencepiece", "--sentencepiece-model"},
      {"byte_bpe", "--sentencepiece-model-path"},
  };
  for (const auto& [name, flag] : needed) {
    BpeOptions options;
    options.name = name;
    const auto encoder = make_bpe(options);
    EXPECT_TRUE(throws(ErrorCode::kUsage, flag, [&, &encoder = *encoder] { encoder.encode("a"); }));
    options.codes = options.sentencepiece_model = "/nowhere/x";
    EXPECT_TRUE(throws(ErrorCode::kIo, "/nowhere/x", [&] { make_bpe(options); }));
  }
  BpeOptions options;
  options.name = "gpt2";
  options.gpt2_encoder_json = stored("squad_qg_bart/encoder.json");
  const auto gpt2 = make_bpe(options);
  EXPECT_TRUE(throws(ErrorCode::kUsage, "--gpt2-vocab-bpe", [&] { gpt2->encode("a"); }));
}

TEST(Encoders, PiecesThatAreNotInTheVocabularyAreNamed) {
  const std::string path = testing::TempDir() + "elbeam_small_encoder.json";
  std::ofstream(path) << R"({"a": 0, "b": 1})";
  BpeOptions options;
  options.name = "gpt2";
  options.gpt2_encoder_json = path;
  options.gpt2_vocab_bpe = stored("squad_qg_bart/vocab.bpe");
  const auto gpt2 = make_bpe(options);
  EXPECT_EQ(gpt2->encode("b"), "1");
  EXPECT_TRUE(throws(ErrorCode::kModel, "no piece 'c'", [&] { gpt2->encode("c"); }));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace elbeam::text
