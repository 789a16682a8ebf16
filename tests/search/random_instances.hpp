// Random small searches for property tests.
#pragma once

#include "search_testing.hpp"

#include <initializer_list>
#include <random>

namespace elbeam::search {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
  }
  bool chance(std::int64_t one_in) { return between(1, one_in) == 1; }
  template <typename T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[between(0, static_cast<std::int64_t>(values.size()) - 1)];
  }

 private:
  std::mt19937_64 engine_;
};

// Decodes; nothing where no hypothesis can end.
inline std::optional<DecodeResult> try_decode(StepModel& model, const DecodeRequest& request) {
  try {
    return decode(model, request);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kModel) << error.what();
    return std::nullopt;
  }
}

// One to three sentences over 6 to 12 symbols, beams of 1 to 5; every strategy that needs no random
// numbers and no constraints.
struct SmallSearch {
  std::int64_t vocab = 0;
  test::HashScript script;
  SourceBatch batch;
  DecodeRequest request;  // set batch before use: `request.batch = &small.batch`

  test::ScriptedModel model() const { return {vocab, 1024, script}; }
};

inline SmallSearch small_search(Random& random, std::uint64_t seed) {
  SmallSearch small;
  small.vocab = random.between(6, 12);
  small.script = {seed, random.chance(3), random.chance(3), random.chance(6)};
  std::vector<std::vector<std::int64_t>> sentences;
  for (std::int64_t i = random.between(1, 3); i > 0; --i) {
    std::vector<std::int64_t>& sentence = sentences.emplace_back();
    for (std::int64_t n = random.between(1, 3); n > 0; --n) {
      sentence.push_back(random.between(4, 99));
    }
    sentence.push_back(2);
  }
  small.batch = make_batch(sentences);
  SearchOptions& options = small.request.options;
  options.beam = random.between(1, 5);
  options.nbest = random.between(1, options.beam);
  options.max_len_b = static_cast<double>(random.between(2, 9));
  options.min_len = random.between(0, 2);
  options.lenpen = random.pick({1.0, 1.0, 0.0, 0.5, 3.0, -1.0});
  options.normalize_scores = !random.chance(4);
  options.unk_penalty = random.pick({0.0, 0.0, 0.5});
  options.temperature = random.pick({1.0, 1.0, 0.5});
  return small;
}

inline void use_random_strategy(Random& random, SearchOptions& options) {
  switch (random.between(0, 4)) {
    case 0:
      options.strategy = Strategy::kDiverseBeam;
      options.diverse_groups = random.between(1, 2);
      options.beam = options.diverse_groups * random.between(1, 2);
      options.nbest = std::min(options.nbest, options.beam);
      options.diverse_cumulative = random.chance(2);
      break;
    case 1:
      options.strategy = Strategy::kDiverseSiblings;
      options.diversity_rate = random.pick({0.0, 0.5});
      break;
    case 2:
      options.strategy = Strategy::kLengthConstrained;
      options.min_len = std::min<std::int64_t>(options.min_len, 1);
      break;
    default:
      break;
  }
}

}  // namespace elbeam::search
