// The facade over a real (toy) checkpoint: strings in, strings out, statistics, errors.
#include <elbeam/generator.hpp>

#include "base/checked_math.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <thread>

namespace elbeam {
namespace {

const std::string kToy = std::string(ELBEAM_TEST_DATA) + "/toy/";

LoadOptions toy_options() {
  LoadOptions options;
  options.model_path = kToy + "ckpt/tf.pt";
  options.source_dictionary_path = kToy + "bin-ende/dict.en.txt";
  options.target_dictionary_path = kToy + "bin-ende/dict.de.txt";
  options.threads = 1;
  return options;
}

const std::vector<std::string> kLines{"the big dog sees a red house .", "a cat sees the car .", ""};

template <typename Function>
std::pair<ErrorCode, std::string> error_of(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {ErrorCode::kInternal, "no error"};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Generator, TranslatesAndCounts) {
  const Generator generator(toy_options());
  SearchOptions options;
  options.beam = 4;
  options.nbest = 2;
  const auto results = generator.translate(kLines, options);
  ASSERT_EQ(results.size(), 3u);
  for (const SentenceResult& result : results) {
    ASSERT_EQ(result.hypotheses.size(), 2u);
    EXPECT_GE(result.hypotheses[0].score, result.hypotheses[1].score);
    EXPECT_EQ(result.hypotheses[0].tokens.back(), generator.model_info().special.eos);
    EXPECT_EQ(result.hypotheses[0].tokens.size(), result.hypotheses[0].positional_scores.size());
  }
  EXPECT_FALSE(results[0].hypotheses[0].text.empty());
  const Statistics statistics = generator.statistics();
  EXPECT_EQ(statistics.sentences, 3);
  EXPECT_EQ(statistics.source_tokens, 9 + 7 + 1);
  EXPECT_GT(statistics.steps, 0);
  EXPECT_EQ(statistics.engine, "native");
  EXPECT_GT(statistics.self_cache_bytes, 0);
}

TEST(Generator, ScoresItsOwnTranslations) {
  const Generator generator(toy_options());
  const auto translated = generator.translate(kLines, SearchOptions{});
  ScoreRequest request;
  for (std::size_t i = 0; i < kLines.size(); ++i) {
    request.batch.sentences.push_back(generator.encode_source(kLines[i]));
    request.batch.padded_length =
        std::max(request.batch.padded_length, ssize(request.batch.sentences[i].size()));
    request.targets.push_back(translated[i].hypotheses[0].tokens);
  }
  const auto scored = generator.score(request);
  ASSERT_EQ(scored.size(), kLines.size());
  for (std::size_t i = 0; i < kLines.size(); ++i) {
    ASSERT_EQ(scored[i].hypotheses.size(), 1u);
    EXPECT_EQ(scored[i].hypotheses[0].tokens, request.targets[i]);
    EXPECT_NEAR(scored[i].hypotheses[0].score, translated[i].hypotheses[0].score, 1e-5);
  }
}

TEST(Generator, EqualSourcesAreEncodedOnce) {
  const std::vector<std::string> lines{kLines[0], kLines[1], kLines[0], kLines[2], kLines[0]};
  for (const Attention attention : {Attention::kEl, Attention::kMha}) {
    for (const DType dtype : {DType::kFp32, DType::kFp64}) {
      LoadOptions load = toy_options();
      load.attention = attention;
      load.dtype = dtype;
      const Generator shared(load);
      load.share_sources = false;
      const Generator apart(load);
      const auto one = shared.translate(lines, SearchOptions{});
      const auto other = apart.translate(lines, SearchOptions{});
      EXPECT_EQ(shared.statistics().encoded_sentences, 3);
      EXPECT_EQ(apart.statistics().encoded_sentences, 5);
      for (std::size_t s = 0; s < lines.size(); ++s) {
        EXPECT_EQ(one[s].hypotheses[0].tokens, other[s].hypotheses[0].tokens);
        EXPECT_EQ(one[s].hypotheses[0].score, other[s].hypotheses[0].score);
      }
    }
  }
}

TEST(Generator, AlternativesBeginDifferently) {
  const Generator generator(toy_options());
  GenerateRequest request;
  request.batch.sentences = {generator.encode_source(kLines[0])};
  request.batch.padded_length = ssize(request.batch.sentences[0].size());
  const auto best = generator.generate(request, SearchOptions{})[0].hypotheses[0].tokens;
  request.prefix_tokens = {{best[0], best[1]}};
  const auto results = generator.alternatives(request, SearchOptions{}, 4);
  ASSERT_EQ(results[0].hypotheses.size(), 4u);
  std::set<std::int64_t> third;
  for (const Hypothesis& hypothesis : results[0].hypotheses) {
    EXPECT_EQ(hypothesis.tokens[0], best[0]);
    EXPECT_EQ(hypothesis.tokens[1], best[1]);
    third.insert(hypothesis.tokens[2]);
  }
  EXPECT_EQ(third.size(), 4u);
}

TEST(Generator, CacheBytesFollowThePapersArithmetic) {
  // toy: 2 decoder layers, d = 32, 17 source tokens, 4 beams, float32.
  SearchOptions options;
  options.beam = 4;
  for (const Attention attention : {Attention::kEl, Attention::kMha}) {
    LoadOptions load = toy_options();
    load.attention = attention;
    const Generator generator(load);
    generator.translate(kLines, options);
    const Statistics s = generator.statistics();
    EXPECT_EQ(s.cross_attention, attention == Attention::kEl ? "el" : "mha");
    EXPECT_EQ(s.cross_cache_bytes_el, 17 * 32 * 4);
    EXPECT_EQ(s.cross_cache_bytes_mha_shared, 2 * 2 * s.cross_cache_bytes_el);
    EXPECT_EQ(s.cross_cache_bytes_mha_copied, 4 * s.cross_cache_bytes_mha_shared);
    if (attention == Attention::kEl) {
      EXPECT_EQ(s.cross_cache_bytes, s.cross_cache_bytes_el);
    } else {  // keys are padded to whole vectors
      EXPECT_GE(s.cross_cache_bytes, s.cross_cache_bytes_mha_shared);
    }
  }
}

TEST(Generator, MayBeCalledFromSeveralThreads) {
  LoadOptions load = toy_options();
  load.threads = 2;
  const Generator generator(load);
  const auto expected = generator.translate(kLines, SearchOptions{});
  std::vector<std::thread> threads;
  std::vector<int> equal(4, 0);
  for (std::size_t t = 0; t < equal.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 10; ++round) {
        const auto results = generator.translate(kLines, SearchOptions{});
        for (std::size_t s = 0; s < results.size(); ++s) {
          equal[t] += results[s].hypotheses[0].tokens == expected[s].hypotheses[0].tokens;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(equal, std::vector<int>(4, 30));
}

TEST(Generator, DictionaryOfAnotherSizeIsRefused) {
  LoadOptions load = toy_options();
  load.source_dictionary_path = testing::TempDir() + "elbeam_short_dict.txt";
  std::ofstream(load.source_dictionary_path) << "the 10\n";
  const auto [code, message] = error_of([&] { Generator generator(load); });
  EXPECT_EQ(code, ErrorCode::kModel) << message;
  EXPECT_TRUE(contains(message, "has 5 types") && contains(message, "has 40")) << message;
}

TEST(Generator, BadInputIsNamed) {
  const Generator generator(toy_options());
  const auto decode = [&](std::vector<std::int64_t> sentence, const SearchOptions& options) {
    GenerateRequest request;
    request.batch.padded_length = std::max<std::int64_t>(1, ssize(sentence.size()));
    request.batch.sentences.push_back(std::move(sentence));
    return error_of([&] { generator.generate(request, options); });
  };
  EXPECT_EQ(decode({4, 40, 2}, {}).first, ErrorCode::kModel);
  EXPECT_EQ(decode({-1, 2}, {}).first, ErrorCode::kModel);
  EXPECT_EQ(decode({}, {}).first, ErrorCode::kModel);
  EXPECT_EQ(decode({1, 2}, {}).first, ErrorCode::kModel);
  const auto [code, message] = decode(std::vector<std::int64_t>(1025, 5), {});
  EXPECT_EQ(code, ErrorCode::kModel);
  EXPECT_TRUE(contains(message, "1024") && contains(message, "1025")) << message;
  SearchOptions options;
  options.beam = 0;
  EXPECT_EQ(decode({5, 2}, options).first, ErrorCode::kUsage);
}

TEST(Generator, BeamBeyondTheVocabularyIsCappedAsInFairseq) {
  const Generator generator(toy_options());
  SearchOptions options;
  options.beam = options.nbest = 1000;
  options.max_len_b = 5;
  const auto results = generator.translate({kLines[0]}, options);
  EXPECT_LE(results[0].hypotheses.size(), 39u);  // vocabulary - 1
  EXPECT_GE(results[0].hypotheses.size(), 1u);
}

TEST(Generator, MaxLenZeroGivesTheEmptyHypothesis) {
  const Generator generator(toy_options());
  SearchOptions options;
  options.max_len_b = 0;
  options.min_len = 0;
  const auto results = generator.translate({kLines[0]}, options);
  EXPECT_EQ(results[0].hypotheses[0].tokens, std::vector<std::int64_t>{2});
  options.min_len = 1;
  EXPECT_EQ(error_of([&] { generator.translate({kLines[0]}, options); }).first, ErrorCode::kUsage);
}

TEST(Generator, WithoutDictionariesOnlyIdsWork) {
  LoadOptions load = toy_options();
  load.source_dictionary_path.clear();
  load.target_dictionary_path.clear();
  const Generator generator(load);
  GenerateRequest request;
  request.batch = {{{5, 6, 2}}, 3};
  EXPECT_EQ(generator.generate(request, SearchOptions{}).size(), 1u);
  EXPECT_EQ(error_of([&] { generator.encode_source("a"); }).first, ErrorCode::kUsage);
}

TEST(Generator, ArchiveBringsItsDictionaries) {
  LoadOptions load;
  load.model_path = std::string(ELBEAM_TEST_DATA) + "/torchscript/tf.ts.pt";
  const Generator archive(load);
  const Generator checkpoint(toy_options());
  EXPECT_EQ(archive.model_info().source_format, "elbeam archive");
  EXPECT_EQ(archive.model_info().parameters, checkpoint.model_info().parameters);
  const auto one = archive.translate(kLines, SearchOptions{});
  const auto other = checkpoint.translate(kLines, SearchOptions{});
  for (std::size_t s = 0; s < one.size(); ++s)
    EXPECT_EQ(one[s].hypotheses[0].text, other[s].hypotheses[0].text);
}

TEST(Generator, TorchScriptNeedsAnArchive) {
  LoadOptions load = toy_options();
  load.engine = Engine::kTorchScript;
  const auto [code, message] = error_of([&] { Generator generator(load); });
  EXPECT_EQ(code, ErrorCode::kUsage);
  EXPECT_TRUE(contains(message, "torchscript_models.export")) << message;
}

TEST(Generator, MissingAndTruncatedFilesAreNamed) {
  LoadOptions load = toy_options();
  load.model_path = kToy + "ckpt/none.pt";
  EXPECT_EQ(error_of([&] { Generator generator(load); }).first, ErrorCode::kIo);
  std::ifstream whole(kToy + "ckpt/tf.pt", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(whole)),
                          std::istreambuf_iterator<char>());
  load.model_path = testing::TempDir() + "elbeam_truncated.pt";
  std::ofstream(load.model_path, std::ios::binary) << bytes.substr(0, bytes.size() / 2);
  const auto [code, message] = error_of([&] { Generator generator(load); });
  EXPECT_EQ(exit_code(code), 3);
  EXPECT_TRUE(contains(message, load.model_path)) << message;
}

}  // namespace
}  // namespace elbeam
