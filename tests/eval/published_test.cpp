// The values that sacrebleu's own test-suite expects (github.com/mjpost/sacrebleu,
// test/test_bleu.py, test_sentence_bleu.py, test_chrf.py, test_ter.py at 2.6), with the tolerances
// it uses.
#include "eval/eval_testing.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

namespace elbeam::eval::test {
namespace {

const std::vector<Texts> kDogs = {
    {"The dog bit the man.", "It was not unexpected.", "The man bit him first."},
    {"The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."}};
const Texts kDogOutput = {"The dog bit the man.", "It wasn't surprising.",
                          "The man had just bitten him."};

double bleu(const BleuOptions& options, const Texts& hypotheses,
            const std::vector<Texts>& references) {
  return score_of(make_bleu(options), hypotheses, references).score;
}

BleuOptions tokenized(const char* name) {
  BleuOptions options;
  options.tokenize = name;
  return options;
}

TEST(PublishedTest, CorpusBleu) {
  EXPECT_NEAR(bleu({}, kDogOutput, kDogs), 48.530827, 1e-6);
  EXPECT_EQ(bleu({}, {"", "", ""}, kDogs), 0.0);
  EXPECT_NEAR(bleu(tokenized("none"), kDogOutput, kDogs), 49.1919566, 1e-6);
  EXPECT_NEAR(bleu(tokenized("intl"), kDogOutput, kDogs), 43.91623493, 1e-6);
}

TEST(PublishedTest, BleuDetailsAreSacrebleusLine) {
  const Score score = score_of(make_bleu({}), kDogOutput, kDogs);
  EXPECT_EQ(score.details,
            "82.4/50.0/45.5/37.5 (BP = 0.943 ratio = 0.944 hyp_len = 17 ref_len = 18)");
}

TEST(PublishedTest, RawBleu) {
  BleuOptions raw = tokenized("none");
  raw.smooth_method = "floor";
  raw.smooth_value = 0.01;
  raw.effective_order = true;
  EXPECT_NEAR(bleu(raw, {"this is a fest"}, {{"this is a test"}}), 22.3606797749979, 1e-6);
  EXPECT_NEAR(bleu(raw, {"this is a test"}, {{"this is a test"}}), 100.0, 1e-6);
  EXPECT_NEAR(bleu(raw, {"test"}, {{"a test"}}), 36.78794411714425, 1e-6);
  EXPECT_NEAR(bleu(raw, {"a little test"}, {{"a test"}}), 3.218297948685433, 1e-6);
}

TEST(PublishedTest, SentenceBleu) {
  struct Case {
    const char* method;
    double value;  // 0: the default
    bool lowercase;
    const char* tokenize;
    double expected;
  };
  const Case cases[] = {{"exp", 0, false, "13a", 8.493},     {"none", 0, false, "13a", 0.0},
                        {"floor", 0, false, "13a", 4.51688}, {"floor", 0.5, false, "13a", 10.10},
                        {"add-k", 0, false, "13a", 14.882},  {"add-k", 2, false, "13a", 21.389},
                        {"exp", 0, false, "none", 7.347},    {"exp", 0, false, "intl", 8.493},
                        {"exp", 0, false, "char", 40.8759},  {"exp", 0, true, "char", 42.0267}};
  for (const Case& one : cases) {
    BleuOptions options = tokenized(one.tokenize);
    options.smooth_method = one.method;
    if (one.value > 0) options.smooth_value = one.value;
    options.lowercase = one.lowercase;
    options.effective_order = true;
    EXPECT_NEAR(
        bleu(options, {"Producția de zahăr primă va fi exprimată în ceea ce privește zahărul alb;"},
             {{"producţia de zahăr brut se exprimă în zahăr alb;"}}),
        one.expected, 1e-3)
        << one.method << " " << one.value << " " << one.tokenize;
    EXPECT_EQ(bleu(options, {"this is a cat"}, {{"okay thanks"}}) > 0,
              std::string(one.tokenize) == "char");
  }
}

TEST(PublishedTest, Chrf) {
  ChrfOptions smoothed;
  smoothed.beta = 3;
  smoothed.eps_smoothing = true;
  const auto chrf = [](const ChrfOptions& options, const Texts& a, const Texts& b) {
    return score_of(make_chrf(options), a, {b}).score;
  };
  EXPECT_NEAR(chrf(smoothed, {"abcdefg"}, {"hijklmnop"}), 0.0, 1e-4);
  EXPECT_NEAR(chrf(smoothed, {""}, {"reference"}), 0.0, 1e-4);
  EXPECT_NEAR(chrf(smoothed, {"aa"}, {"ab"}), 8.3333, 1e-4);
  EXPECT_NEAR(chrf(smoothed, {"a", "b"}, {"a", "c"}), 8.3333, 1e-4);
  EXPECT_NEAR(chrf(smoothed, {"a b c"}, {"abc"}), 50.0, 1e-4);
  const char* kDie =
      " Die    Beziehung zwischen  Obama und Netanjahu ist nicht gerade  freundlich. ";
  const char* kDas =
      "Das Verhältnis zwischen Obama und Netanyahu ist nicht gerade freundschaftlich.";
  EXPECT_NEAR(chrf(smoothed, {kDie}, {kDas}), 64.1302698, 1e-4);
  ChrfOptions effective;
  effective.beta = 3;
  EXPECT_NEAR(chrf(effective, {"aa"}, {"ab"}), 25.0, 1e-4);
  EXPECT_NEAR(chrf(effective, {"a", "b"}, {"a", "c"}), 50.0, 1e-4);
  effective.whitespace = true;
  EXPECT_NEAR(
      chrf(effective, {"Die Beziehung zwischen Obama und Netanjahu ist nicht gerade freundlich."},
           {kDas}),
      67.3481606, 1e-4);
}

TEST(PublishedTest, Ter) {
  const auto ter = [](const char* a, const char* b) {
    return score_of(make_ter({}), {a}, {{b}}).score;
  };
  EXPECT_EQ(ter("aaaa bbbb cccc dddd", "aaaa bbbb cccc dddd"), 0.0);
  EXPECT_EQ(ter("dddd eeee ffff", "aaaa bbbb cccc"), 100.0);
  EXPECT_EQ(ter("", "a"), 100.0);
  EXPECT_EQ(ter("d e f g h a b c", "a b c d e f g h"), 12.5);
}

TEST(PublishedTest, WerCountsWordsAndCharacters) {
  WerOptions options;
  EXPECT_DOUBLE_EQ(score_of(make_wer(options), {"a x c d"}, {{"a b c"}}).score, 200.0 / 3);
  options.characters = true;
  EXPECT_DOUBLE_EQ(score_of(make_wer(options), {"ab d"}, {{"ab c"}}).score, 25.0);
  options = {};
  options.remove_punctuation = true;
  EXPECT_DOUBLE_EQ(score_of(make_wer(options), {"a ! b"}, {{"a b"}}).score, 0.0);
  EXPECT_DOUBLE_EQ(score_of(make_wer({}), {"a"}, {{""}}).score, 0.0);  // as fairseq's
  EXPECT_DOUBLE_EQ(score_of(make_wer({}), {"a b"}, {{"x y z"}, {"a c"}}).score, 50.0);
}

TEST(MetricsTest, OptionsOutOfRangeAreRefused) {
  using elbeam::test::throws;
  EXPECT_TRUE(throws(ErrorCode::kUsage, "unknown tokenizer", [] { make_bleu(tokenized("14a")); }));
  EXPECT_TRUE(
      throws(ErrorCode::kUnsupported, "ja-mecab", [] { make_bleu(tokenized("ja-mecab")); }));
  BleuOptions options;
  options.smooth_method = "log";
  EXPECT_TRUE(throws(ErrorCode::kUsage, "smoothing", [&] { make_bleu(options); }));
  options = {};
  options.max_order = 0;
  EXPECT_TRUE(throws(ErrorCode::kUsage, "order", [&] { make_bleu(options); }));
  EXPECT_TRUE(throws(ErrorCode::kUsage, "unknown metric", [] { make_metric("bleurt", {}); }));
}

TEST(EvaluationTest, ThreadsAndPiecesDoNotChangeAnything) {
  const std::vector<std::string_view> references = {"the cat sat on the mat", "a cat sat"};
  const std::vector<std::string> hypotheses = {"the cat", "a mat sat", "", "cat sat on the mat !"};
  const auto evaluate = [&](int threads, std::size_t piece) {
    std::vector<std::unique_ptr<const Metric>> metrics;
    metrics.push_back(make_ter({}));
    Evaluation evaluation(std::move(metrics), {threads, true});
    std::vector<Segment> segments;
    for (int i = 0; i < 300; ++i)
      segments.push_back({hypotheses[static_cast<std::size_t>(i % 4)], references, {}});
    for (std::size_t i = 0; i < segments.size(); i += piece) {
      evaluation.add(std::span(segments).subspan(i, std::min(piece, segments.size() - i)));
    }
    return std::pair(evaluation.score(0).score, evaluation.segment_score(0, 2).score);
  };
  EXPECT_EQ(evaluate(1, 300), evaluate(3, 7));
  EXPECT_EQ(evaluate(1, 300).second, 3 / 4.5 * 100);
}

TEST(EvaluationTest, NothingToScoreIsAnError) {
  using elbeam::test::throws;
  EXPECT_TRUE(throws(ErrorCode::kUsage, "no segments", [] { score_of(make_bleu({}), {}, {{}}); }));
  EXPECT_TRUE(
      throws(ErrorCode::kUsage, "no reference", [] { score_of(make_bleu({}), {"a"}, {}); }));
}

}  // namespace
}  // namespace elbeam::eval::test
