// decode() as a whole: how it uses the model, what does not change its results, bad input.
#include "search_testing.hpp"

#include <limits>
#include <random>

namespace elbeam::search {
namespace {

using test::HashScript;
using test::ScriptedModel;
using test::ScriptInput;

constexpr float kInf = std::numeric_limits<float>::infinity();

DecodeResult decode_batch(StepModel& model, const SourceBatch& batch,
                          const SearchOptions& options) {
  DecodeRequest request;
  request.batch = &batch;
  request.options = options;
  return decode(model, request);
}

ErrorCode error_of(StepModel& model, const DecodeRequest& request) {
  return code_of([&] { decode(model, request); });
}

class BadInput : public testing::Test {
 protected:
  BadInput() { request_.batch = &batch_; }

  ScriptedModel model_{8, 1024, HashScript{1}};
  SourceBatch batch_ = make_batch({{5, 2}, {6, 2}});
  DecodeRequest request_;
};

TEST(DecodeLoop, ResultsDoNotDependOnTheBatch) {
  std::mt19937_64 random(5);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::vector<std::vector<std::int64_t>> sentences;
    for (int i = 0; i < 7; ++i) sentences.push_back({ssize(random() % 90) + 4, 2});
    SearchOptions options;
    options.beam = 1 + ssize(seed % 6);
    options.max_len_b = 6;
    options.min_len = ssize(seed % 2);
    ScriptedModel model(seed % 10 == 0 ? 140 : 9, 1024,
                        HashScript{seed, seed % 3 == 0, false, false});
    const DecodeResult together = decode_batch(model, make_batch(sentences), options);
    for (std::size_t i = 0; i < sentences.size(); ++i) {
      const DecodeResult alone = decode_batch(model, make_batch({sentences[i]}), options);
      ASSERT_TRUE(same_hypotheses(together.sentences[i], alone.sentences[0])) << seed << ' ' << i;
      EXPECT_LE(alone.counters.steps, together.counters.steps);
    }
  }
}

TEST(DecodeLoop, LongHistoriesGrow) {
  // Beyond the steps that histories have room for at first, and to the model's last position.
  ScriptedModel model(9, 400, [](const ScriptInput& input, std::span<float> log_probs) {
    HashScript{3}(input, log_probs);
    log_probs[2] = -50.0F;
  });
  SearchOptions options;
  options.max_len_b = 1e9;
  options.beam = 3;
  const DecodeResult result = decode_batch(model, make_batch({{5, 2}}), options);
  ASSERT_EQ(result.sentences[0].size(), 3U);
  for (const FinishedHypothesis& hypothesis : result.sentences[0]) {
    EXPECT_EQ(hypothesis.tokens.size(), 400U);
    EXPECT_EQ(hypothesis.tokens.back(), 2);
  }
  EXPECT_EQ(result.counters.steps, 400);
  EXPECT_EQ(result.counters.rows, 1 + 399 * 3);
}

TEST(DecodeLoop, BeamIsCappedByTheVocabulary) {
  ScriptedModel model(5, 1024, HashScript{2});
  SearchOptions options;
  options.beam = std::numeric_limits<std::int64_t>::max();
  options.max_len_b = 3;
  EXPECT_EQ(decode_batch(model, make_batch({{5, 2}}), options).sentences[0].size(), 4U);
}

TEST(DecodeLoop, OnlyEosWhenMaxLenIsZero) {
  ScriptedModel model(8, 1024, HashScript{4});
  SearchOptions options;
  options.min_len = 0;
  options.max_len_b = 0;
  const DecodeResult result = decode_batch(model, make_batch({{5, 2}}), options);
  ASSERT_EQ(result.sentences[0].size(), 1U);
  EXPECT_EQ(result.sentences[0][0].tokens, std::vector<std::int64_t>{2});
}

TEST(DecodeLoop, ForcedEosAtOnceGivesTheEmptySentence) {
  ScriptedModel model(8, 1024, HashScript{4});
  const SourceBatch batch = make_batch({{5, 2}});
  DecodeRequest request;
  request.batch = &batch;
  request.prefix_tokens = {{2}};
  request.options.max_len_b = 5;
  const DecodeResult result = decode(model, request);
  ASSERT_EQ(result.sentences[0].size(), 1U);
  EXPECT_EQ(result.sentences[0][0].tokens, std::vector<std::int64_t>{2});
}

TEST(DecodeLoop, CommonPrefixesAreReadAtOnce) {
  ScriptedModel model(40, 1024, HashScript{6});
  const SourceBatch batch = make_batch({{5, 2}, {7, 8, 2}});
  DecodeRequest request;
  request.batch = &batch;
  request.options.beam = request.options.nbest = 3;
  request.options.max_len_b = 9;
  request.options.unk_penalty = 0.25;
  request.options.min_len = 5;
  request.prefix_tokens = {{4, 3, 5, 7}, {9, 9, 3, 1}};  // 3 is unk, 1 is pad
  const DecodeResult plain = decode(model, request);
  // A strategy that comes to the same, and takes one step after the other.
  request.options.strategy = Strategy::kDiverseSiblings;
  request.options.diversity_rate = 0.0;
  const DecodeResult stepped = decode(model, request);
  EXPECT_EQ(plain.counters.steps, stepped.counters.steps - 2);
  EXPECT_EQ(plain.counters.rows, stepped.counters.rows);
  for (std::size_t s = 0; s < 2; ++s) {
    ASSERT_EQ(plain.sentences[s].size(), stepped.sentences[s].size());
    for (std::size_t i = 0; i < plain.sentences[s].size(); ++i) {
      EXPECT_EQ(plain.sentences[s][i].tokens, stepped.sentences[s][i].tokens);
      EXPECT_EQ(plain.sentences[s][i].score, stepped.sentences[s][i].score);
      EXPECT_EQ(plain.sentences[s][i].positional_scores, stepped.sentences[s][i].positional_scores);
    }
  }
}

TEST(DecodeLoop, ForcedTokensThatAreImpossibleAreReadStepByStep) {
  ScriptedModel model(40, 1024, [](const ScriptInput& input, std::span<float> log_probs) {
    HashScript{6}(input, log_probs);
    log_probs[5] = -std::numeric_limits<float>::infinity();
  });
  const SourceBatch batch = make_batch({{5, 2}});
  DecodeRequest request;
  request.batch = &batch;
  request.options.beam = 3;
  request.options.max_len_b = 6;
  request.prefix_tokens = {{4, 3, 5, 7}};
  try {
    decode(model, request);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kModel);
    EXPECT_NE(std::string(error.what()).find("no hypothesis can end"), std::string::npos);
  }
}

TEST(DecodeLoop, PrefixesAreComputedOnce) {
  // Two rows while both prefixes last, then the beam for the sentence whose prefix has ended.
  ScriptedModel model(9, 1024, [](const ScriptInput& input, std::span<float> log_probs) {
    HashScript{6}(input, log_probs);
    log_probs[2] = -50.0F;
  });
  const SourceBatch batch = make_batch({{5, 2}, {6, 2}});
  DecodeRequest request;
  request.batch = &batch;
  request.options.beam = 4;
  request.options.max_len_b = 6;
  request.prefix_tokens = {{4, 5, 6, 7}, {8, 4}};
  const DecodeResult together = decode(model, request);
  // Steps 0 to 2 read the start token and two forced ones.
  EXPECT_EQ(together.counters.rows, 2 + 2 + 2 + (1 + 4) + (1 + 4) + (4 + 4) + (4 + 4));
  for (std::size_t s = 0; s < 2; ++s) {
    const SourceBatch one = make_batch({batch.sentences[s]});
    DecodeRequest alone = request;
    alone.batch = &one;
    alone.prefix_tokens = {request.prefix_tokens[s]};
    EXPECT_TRUE(same_hypotheses(together.sentences[s], decode(model, alone).sentences[0]));
  }
}

TEST(DecodeLoop, AttentionIsGivenOnlyWhenWanted) {
  ScriptedModel model(9, 1024, HashScript{6});
  const SourceBatch batch = make_batch({{5, 6, 7, 2}, {6, 2}});
  DecodeRequest request;
  request.batch = &batch;
  request.options.max_len_b = 4;
  EXPECT_TRUE(decode(model, request).sentences[0].front().attention.empty());
  request.attention = true;
  const DecodeResult result = decode(model, request);
  for (std::size_t s = 0; s < 2; ++s) {
    for (const FinishedHypothesis& hypothesis : result.sentences[s]) {
      ASSERT_EQ(hypothesis.attention.size(), hypothesis.tokens.size());
      for (std::size_t t = 0; t < hypothesis.tokens.size(); ++t) {
        ASSERT_EQ(hypothesis.attention[t].size(), batch.sentences[s].size());
        for (std::size_t i = 0; i < batch.sentences[s].size(); ++i) {
          EXPECT_EQ(hypothesis.attention[t][i],
                    test::scripted_attention(
                        {batch.sentences[s], std::span(hypothesis.tokens).first(t)}, i));
        }
      }
    }
  }
}

TEST(DecodeLoop, EmptyBatch) {
  ScriptedModel model(8, 1024, HashScript{4});
  EXPECT_TRUE(decode_batch(model, {}, SearchOptions()).sentences.empty());
}

TEST(DecodeLoop, NanIsImpossible) {
  ScriptedModel model(6, 1024, [](const ScriptInput&, std::span<float> log_probs) {
    std::fill(log_probs.begin(), log_probs.end(), std::numeric_limits<float>::quiet_NaN());
    log_probs[2] = -1.0F;
    log_probs[4] = -2.0F;
  });
  SearchOptions options;
  options.beam = 2;
  options.max_len_b = 3;
  const DecodeResult result = decode_batch(model, make_batch({{5, 2}}), options);
  ASSERT_FALSE(result.sentences[0].empty());
  for (const FinishedHypothesis& hypothesis : result.sentences[0]) {
    for (std::size_t i = 0; i + 1 < hypothesis.tokens.size(); ++i) {
      EXPECT_EQ(hypothesis.tokens[i], 4);
    }
  }
}

TEST(DecodeLoop, WorthlessModelsAreNamed) {
  const SourceBatch batch = make_batch({{5, 2}});
  DecodeRequest request;
  request.batch = &batch;
  request.options.max_len_b = 3;
  for (const float everywhere : {-kInf, std::numeric_limits<float>::quiet_NaN()}) {
    for (const std::int64_t vocab : {4, 200}) {
      ScriptedModel model(vocab, 1024, [&](const ScriptInput&, std::span<float> log_probs) {
        std::fill(log_probs.begin(), log_probs.end(), everywhere);
      });
      EXPECT_EQ(error_of(model, request), ErrorCode::kModel);
    }
  }
}

TEST(DecodeLoop, PlusInfinityDoesNoHarm) {
  ScriptedModel model(8, 1024, [](const ScriptInput& input, std::span<float> log_probs) {
    HashScript{4, false, true}(input, log_probs);
    log_probs[5] = kInf;
  });
  SearchOptions options;
  options.max_len_b = 4;
  const DecodeResult result = decode_batch(model, make_batch({{5, 2}}), options);
  EXPECT_FALSE(result.sentences[0].empty());
}

int g_polls = 0;
bool third_poll() { return ++g_polls == 3; }

TEST_F(BadInput, CancelledIsPolledEachStep) {
  g_polls = 0;
  request_.cancelled = third_poll;
  EXPECT_EQ(error_of(model_, request_), ErrorCode::kInterrupted);
  EXPECT_EQ(g_polls, 3);
}

TEST_F(BadInput, NoBatch) {
  request_.batch = nullptr;
  EXPECT_EQ(error_of(model_, request_), ErrorCode::kUsage);
}

TEST_F(BadInput, PaddedLengthBelowASentence) {
  batch_.padded_length = 1;
  EXPECT_EQ(error_of(model_, request_), ErrorCode::kUsage);
}

TEST_F(BadInput, Beam) {
  for (const std::int64_t beam :
       {std::int64_t{0}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()}) {
    request_.options.beam = beam;
    EXPECT_EQ(error_of(model_, request_), ErrorCode::kUsage);
  }
}

TEST_F(BadInput, BeamTimesVocabularyOutOfReach) {
  request_.options.beam = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t vocab : {60'000, 2'000'000'000}) {
    ScriptedModel model(vocab, 1024, HashScript{1});
    EXPECT_EQ(error_of(model, request_), ErrorCode::kLimit) << vocab;
  }
}

TEST_F(BadInput, OutputLengthOutOfReach) {
  ScriptedModel model(8, std::numeric_limits<std::int64_t>::max(), HashScript{1});
  request_.options.max_len_b = 1e15;
  EXPECT_EQ(error_of(model, request_), ErrorCode::kLimit);
}

TEST_F(BadInput, Lengths) {
  request_.options.max_len_b = 0;
  EXPECT_EQ(error_of(model_, request_), ErrorCode::kUsage);
  request_.options.max_len_b = 3;
  request_.options.min_len = 4;
  EXPECT_EQ(error_of(model_, request_), ErrorCode::kUsage);
}

TEST_F(BadInput, VocabularyWithoutTheSpecialTokens) {
  for (const std::int64_t vocab : {-1, 0, 1, 2, 3}) {
    ScriptedModel model(vocab, 1024, HashScript{1});
    EXPECT_EQ(error_of(model, request_), ErrorCode::kModel) << vocab;
  }
  request_.special.pad = 2;  // as eos
  EXPECT_EQ(error_of(model_, request_), ErrorCode::kModel);
}

TEST_F(BadInput, Strategies) {
  request_.constraints = {{{4}}, {{5}}};
  EXPECT_EQ(error_of(model_, request_), ErrorCode::kUsage);
  request_.constraints.clear();
  request_.options.strategy = Strategy::kDiverseBeam;
  request_.options.beam = 4;
  request_.options.diverse_groups = 3;
  EXPECT_EQ(error_of(model_, request_), ErrorCode::kUsage);
  request_.options.beam = 1000;  // the vocabulary has 8 symbols: 7 places
  request_.options.diverse_groups = 4;
  EXPECT_EQ(error_of(model_, request_), ErrorCode::kUsage);
}

TEST_F(BadInput, SuppressedSequences) {
  for (const std::int64_t token : {-1, 8}) {
    request_.options.suppressed_sequences = {{4, token}};
    EXPECT_EQ(error_of(model_, request_), ErrorCode::kUsage);
  }
}

TEST_F(BadInput, Prefixes) {
  request_.prefix_tokens = {{4}};  // for one of two sentences
  EXPECT_EQ(error_of(model_, request_), ErrorCode::kUsage);
  for (const std::int64_t token : {std::int64_t{-1}, std::int64_t{8}}) {
    request_.prefix_tokens = {{4}, {token}};
    EXPECT_EQ(error_of(model_, request_), ErrorCode::kUsage);
  }
  request_.prefix_tokens = {{4}, {1, 2}};  // pad and then eos
  EXPECT_EQ(error_of(model_, request_), ErrorCode::kUsage);
}

}  // namespace
}  // namespace elbeam::search
