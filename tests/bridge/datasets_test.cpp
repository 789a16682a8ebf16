// Data formats and language-model samples against stock fairseq (tests/data/datasets).
#include <elbeam/error.hpp>

#include "bridge/bridge_support.hpp"
#include "fairseq_bridge/indexed_dataset.hpp"
#include "fairseq_bridge/monolingual_dataset.hpp"
#include "support/errors.hpp"

#include <functional>
#include <random>

namespace elbeam::fairseq {
namespace {

using nlohmann::json;
using test::throws;

std::string stored(const std::string& name) {
  return std::string(ELBEAM_TEST_DATA) + "/datasets/" + name;
}

const json& stock() {
  static const json all = json::parse(read_file(stored("datasets.json")));
  return all;
}

text::Dictionary dictionary() { return text::Dictionary::load(stored("dict.txt")); }

// fairseq's fasta reader gives symbols that are not in the dictionary new ids behind it, for which
// no model has an embedding; ours gives <unk>.
std::vector<std::int64_t> known(std::vector<std::int64_t> tokens) {
  const text::Dictionary words = dictionary();
  for (std::int64_t& token : tokens) {
    if (token >= words.size()) token = words.special().unk;
  }
  return tokens;
}

void copy_dataset(const std::string& name, const std::string& prefix) {
  for (const char* extension : {".idx", ".bin", ".vocab"}) {
    if (std::filesystem::exists(stored(name) + extension)) {
      std::filesystem::copy_file(stored(name) + extension, prefix + extension);
    }
  }
}

TEST(Datasets, EveryFormatIsInferredAndReadsAsInFairseq) {
  for (const auto& [name, expected] : stock().at("formats").items()) {
    const auto data = load_indexed_dataset(stored(name), DatasetImpl::kInferred, dictionary());
    ASSERT_NE(data, nullptr) << name;
    ASSERT_EQ(data->size(), ssize(expected.at("tokens").size())) << name;
    for (std::int64_t i = 0; i < data->size(); ++i) {
      EXPECT_EQ(data->tokens(i), known(expected.at("tokens")[usize(i)])) << name;
      EXPECT_EQ(data->length(i), expected["sizes"][usize(i)].get<std::int64_t>());
    }
  }
}

TEST(Datasets, FormatsThatDoNotFitAreNotFoundOrRefused) {
  const auto words = dictionary();
  EXPECT_EQ(load_indexed_dataset(stored("tnt32"), DatasetImpl::kRaw, words), nullptr);
  EXPECT_EQ(load_indexed_dataset(stored("tnt32"), DatasetImpl::kHuffman, words), nullptr);
  EXPECT_EQ(load_indexed_dataset(stored("tnt32"), DatasetImpl::kFasta, words), nullptr);
  EXPECT_EQ(load_indexed_dataset(stored("nothing"), DatasetImpl::kInferred, words), nullptr);
  for (const auto impl : {DatasetImpl::kMmap, DatasetImpl::kHuffman}) {
    const std::string prefix = scratch_folder() + "/x";
    copy_dataset("tnt32", prefix);
    write_file(prefix + ".vocab", "a 1\n");
    EXPECT_TRUE(
        throws(ErrorCode::kFormat, "magic", [&] { load_indexed_dataset(prefix, impl, words); }));
  }
  EXPECT_TRUE(throws(ErrorCode::kFormat, "magic",
                     [&] { load_indexed_dataset(stored("mm16"), DatasetImpl::kCached, words); }));
}

// Whatever the bytes are: an Error or tokens, never an access outside the files.
void read_all(const std::string& prefix) {
  try {
    const auto data = load_indexed_dataset(prefix, DatasetImpl::kInferred, dictionary());
    if (data == nullptr) return;
    for (std::int64_t i = 0; i < data->size(); ++i) {
      try {
        EXPECT_GE(data->length(i), 0);
        for (const std::int64_t token : data->tokens(i)) EXPECT_GE(token, 0);
      } catch (const Error& error) {
        EXPECT_TRUE(error.code() == ErrorCode::kFormat || error.code() == ErrorCode::kLimit);
      }
    }
  } catch (const Error& error) {
    EXPECT_TRUE(error.code() == ErrorCode::kFormat || error.code() == ErrorCode::kLimit)
        << error.what();
  }
}

TEST(Datasets, SurviveTruncationAndRandomDamage) {
  const std::string prefix = scratch_folder() + "/x";
  std::mt19937 random(3);
  for (const char* name : {"tnt32", "tnt64", "huffman"}) {
    for (const char* extension : {".idx", ".bin", ".vocab"}) {
      if (!std::filesystem::exists(stored(name) + extension)) continue;
      for (const char* all : {".idx", ".bin", ".vocab"}) std::filesystem::remove(prefix + all);
      copy_dataset(name, prefix);
      const std::string original = read_file(stored(name) + extension);
      for (std::size_t length = 0; length < original.size(); length += 13) {
        write_file(prefix + extension, original.substr(0, length));
        read_all(prefix);
      }
      for (int round = 0; round < 60; ++round) {
        std::string damaged = original;
        for (unsigned hits = random() % 4 + 1; hits > 0; --hits) {
          damaged[random() % damaged.size()] = static_cast<char>(random());
        }
        write_file(prefix + extension, damaged);
        read_all(prefix);
      }
    }
  }
}

TEST(Datasets, FastaIsRefusedWhereItsLengthDependsOnTheLocale) {
  const std::string prefix = scratch_folder() + "/x";
  for (const char* content : {">a\nAB C\n", ">a\nAB\r\n", ">a\n\xc3\xa4\n", ">a\nA\x01\n"}) {
    write_file(prefix + ".fasta", content);
    EXPECT_TRUE(
        throws(ErrorCode::kFormat, ".fasta:2", [&] { open_fasta_dataset(prefix, dictionary()); }));
  }
}

MonolingualDataset blocks_of(const json& block) {
  MonolingualOptions options;
  options.break_mode = parse_break_mode(block.at("mode").get<std::string>()).value();
  options.tokens_per_sample = block.at("size");
  options.add_bos_token = block.value("bos", false);
  options.truncate = block.value("truncate", false);
  options.output_size = block.value("output_size", -1);
  return load_monolingual_dataset(std::string(ELBEAM_TEST_DATA) + "/datasets:/nowhere",
                                  block.at("data"), DatasetImpl::kInferred, dictionary(), options);
}

TEST(Monolingual, SamplesAndOrderAreFairseqs) {
  for (const json& block : stock().at("blocks")) {
    SCOPED_TRACE(block.at("mode").get<std::string>() + " " + block.at("data").get<std::string>() +
                 " " + std::to_string(block.at("size").get<int>()));
    if (block.contains("error")) {
      EXPECT_TRUE(throws(ErrorCode::kModel, "sample", [&] { blocks_of(block); }));
      continue;
    }
    const MonolingualDataset data = blocks_of(block);
    const json& samples = block.at("samples");
    ASSERT_EQ(data.size(), ssize(samples.size()));
    for (std::int64_t i = 0; i < data.size(); ++i) {
      EXPECT_EQ(data.sample_size(i), block.at("sizes")[usize(i)].get<std::int64_t>());
      const auto sample = data.sample(i);
      EXPECT_EQ(sample.source, known(samples[usize(i)][0])) << i;
      EXPECT_EQ(sample.target, known(samples[usize(i)][1])) << i;
    }
    EXPECT_EQ(json(data.ordered_indices(2)), block.at("order"));
  }
}

TEST(Monolingual, RefusesWhatCannotBeCut) {
  MonolingualOptions options;
  options.tokens_per_sample = 0;
  const auto load = [&](const std::string& subset) {
    load_monolingual_dataset(stored(""), subset, DatasetImpl::kInferred, dictionary(), options);
  };
  EXPECT_TRUE(throws(ErrorCode::kUsage, "--tokens-per-sample", [&] { load("mm16"); }));
  options.tokens_per_sample = 8;
  EXPECT_TRUE(throws(ErrorCode::kIo, "Dataset not found: absent", [&] { load("absent"); }));
  const std::string prefix = scratch_folder() + "/x";
  write_mmap(prefix, {});
  EXPECT_TRUE(throws(ErrorCode::kModel, "no sentence", [&] {
    MonolingualDataset(open_mmap_dataset(prefix), SpecialTokens{}, options);
  }));
  write_mmap(prefix, {{}, {}});
  EXPECT_TRUE(throws(ErrorCode::kModel, "no token", [&] {
    MonolingualDataset(open_mmap_dataset(prefix), SpecialTokens{}, options);
  }));
}

}  // namespace
}  // namespace elbeam::fairseq
