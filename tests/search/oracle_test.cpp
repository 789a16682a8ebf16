// The search against two oracles: fairseq's algorithm written again literally, and the enumeration
// of all outputs.
#include "literal_search.hpp"
#include "random_instances.hpp"

#include <cmath>
#include <limits>

namespace elbeam::search {
namespace {

using test::HashScript;
using test::ScriptedModel;
using test::ScriptInput;

struct Instance {
  std::int64_t vocab = 0;
  std::int64_t max_positions = 0;
  HashScript script;
  SourceBatch batch;
  DecodeRequest request;  // batch is set by the user of the instance
};

Instance random_instance(Random& random, std::uint64_t seed) {
  Instance instance;
  instance.vocab = random.between(4, 5);
  instance.max_positions = random.pick({1024, 1024, 3});
  instance.script = {seed, random.chance(2), random.chance(2), random.chance(4)};
  std::vector<std::vector<std::int64_t>> sentences;
  for (std::int64_t i = random.between(1, 3); i > 0; --i) {
    sentences.push_back({random.between(4, 99), 2});
  }
  instance.batch = make_batch(sentences);
  SearchOptions& options = instance.request.options;
  options.beam = random.between(1, 5);
  options.max_len_b = static_cast<double>(random.between(2, 5));
  options.min_len = random.between(0, 2);
  options.lenpen = random.pick({1.0, 1.0, 0.0, 0.5, 3.0});
  options.normalize_scores = !random.chance(4);
  options.unk_penalty = random.pick({0.0, 0.0, 0.5, -0.25});
  options.temperature = random.pick({1.0, 1.0, 0.5});
  if (random.chance(3)) {
    for (std::size_t i = 0; i < sentences.size(); ++i) {
      std::vector<std::int64_t> prefix;
      for (std::int64_t n = random.between(0, 3); n > 0; --n) {
        prefix.push_back(random.pick<std::int64_t>({1, 2, 3, 3, instance.vocab - 1}));
      }
      instance.request.prefix_tokens.push_back(prefix);
    }
  }
  return instance;
}

TEST(Oracle, SameAsLiteralFairseq) {
  constexpr int kInstances = 60'000;
  Random random(20240901);
  int answered = 0;
  int failed_assertions = 0;
  for (int i = 0; i < kInstances; ++i) {
    SCOPED_TRACE(i);
    Instance instance = random_instance(random, static_cast<std::uint64_t>(i));
    instance.request.batch = &instance.batch;
    const auto expected =
        literal_search({instance.vocab, instance.max_positions, instance.script}, instance.request);
    ScriptedModel model(instance.vocab, instance.max_positions, instance.script);
    if (expected) {
      ++answered;
      const DecodeResult actual = decode(model, instance.request);
      ASSERT_EQ(actual.sentences.size(), expected->size());
      for (std::size_t s = 0; s < expected->size(); ++s) {
        ASSERT_TRUE(same_hypotheses(actual.sentences[s], (*expected)[s])) << "sentence " << s;
      }
      continue;
    }
    ++failed_assertions;
    try {  // where fairseq dies we give what has finished, or say why there is nothing
      for (const auto& hypotheses : decode(model, instance.request).sentences) {
        ASSERT_FALSE(hypotheses.empty());
      }
    } catch (const Error& error) {
      ASSERT_TRUE(error.code() == ErrorCode::kModel || error.code() == ErrorCode::kUsage)
          << error.what();
    }
  }
  EXPECT_GE(answered, 40'000);
  EXPECT_GT(failed_assertions, 0);
}

// Two words, `length` at most, all else impossible: every output can be listed.
struct Enumeration {
  static constexpr std::int64_t kVocab = 70;
  static constexpr std::int64_t kFirstWord = 4;
  HashScript script;
  std::vector<std::int64_t> source;
  std::int64_t words = 2;
  std::int64_t length = 4;

  void operator()(const ScriptInput& input, std::span<float> log_probs) const {
    script(input, log_probs);
    for (std::int64_t v = 0; v < ssize(log_probs.size()); ++v) {
      const bool word = v >= kFirstWord && v < kFirstWord + words;
      if (v != 2 && !word) log_probs[usize(v)] = -std::numeric_limits<float>::infinity();
    }
  }

  void visit(std::vector<std::int64_t>& history, float score, const SearchOptions& options,
             std::vector<float>& totals) const {
    std::vector<float> log_probs(usize(kVocab));
    (*this)({source, history}, log_probs);
    const auto steps = static_cast<double>(history.size() + 1);
    const float total = history.empty() ? log_probs[2] : score + log_probs[2];
    if (ssize(history.size()) >= options.min_len && std::isfinite(total)) {
      totals.push_back(total / static_cast<float>(std::pow(steps, options.lenpen)));
    }
    if (ssize(history.size()) == length) return;
    for (std::int64_t word = kFirstWord; word < kFirstWord + words; ++word) {
      const float value = log_probs[usize(word)];
      if (!std::isfinite(value)) continue;
      history.push_back(word);
      visit(history, history.size() == 1 ? value : score + value, options, totals);
      history.pop_back();
    }
  }
};

TEST(Oracle, WideBeamFindsEveryOutput) {
  // 2^0 + .. + 2^4 = 31 outputs and at most 16 * 3 finite candidates in a step: a beam of 60 holds
  // them all, so the search must return exactly the enumerated scores, best first. (A beam of
  // vocabulary - 1 would not do: with eos among the candidates of the first step too few are left,
  // and fairseq then fills the beam with the finished hypothesis and continues that.)
  Random random(7);
  std::int64_t outputs = 0;
  for (std::uint64_t i = 0; i < 500; ++i) {
    SCOPED_TRACE(i);
    Enumeration space;
    space.script = {i, random.chance(2), random.chance(2), false};
    space.source = {random.between(4, 99), 2};
    space.length = random.between(1, 4);
    SearchOptions options;
    options.beam = 60;
    options.max_len_b = static_cast<double>(space.length);
    options.min_len = random.between(0, 1);
    options.lenpen = random.pick({1.0, 0.3, 2.0, 0.0});
    std::vector<float> expected;
    std::vector<std::int64_t> history;
    space.visit(history, 0.0F, options, expected);
    std::sort(expected.begin(), expected.end(), std::greater<>());

    const SourceBatch batch = make_batch({space.source});
    DecodeRequest request;
    request.batch = &batch;
    request.options = options;
    ScriptedModel model(Enumeration::kVocab, 1024, space);
    if (expected.empty()) {
      EXPECT_EQ(code_of([&] { decode(model, request); }), ErrorCode::kModel);
      continue;
    }
    const DecodeResult result = decode(model, request);
    ASSERT_EQ(result.sentences[0].size(), expected.size());
    for (std::size_t h = 0; h < expected.size(); ++h) {
      ASSERT_EQ(result.sentences[0][h].score, expected[h]) << "hypothesis " << h;
    }
    outputs += ssize(expected.size());
  }
  EXPECT_GT(outputs, 3'000);
}

}  // namespace
}  // namespace elbeam::search
