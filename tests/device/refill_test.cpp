// Sentences that begin in the places of those that have ended, on the emulated device: each gives
// what it gives on the CPU, where all are decoded together.
#include "archive/checkpoint.hpp"
#include "base/checked_math.hpp"
#include "device/device_model.hpp"
#include "device/emulated_device.hpp"
#include "support/test_paths.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace elbeam::device {
namespace {

constexpr std::size_t kSentences = 24;

std::shared_ptr<const archive::Checkpoint> checkpoint() {
  return archive::Checkpoint::open(std::string(test::kDataFolder) + "/toy/ckpt/tf.pt");
}

SourceBatch mixed_lengths() {
  std::mt19937 random(3);
  SourceBatch batch;
  for (std::size_t s = 0; s < kSentences; ++s) {
    auto& sentence = batch.sentences.emplace_back();
    for (auto left = 1 + random() % 11; left > 0; --left)
      sentence.push_back(4 + static_cast<std::int64_t>(random() % 20));
    sentence.push_back(2);
    batch.padded_lengths.push_back(ssize(sentence.size()) +
                                   static_cast<std::int64_t>(random() % 2));
    batch.padded_length = std::max(batch.padded_length, batch.padded_lengths.back());
  }
  return batch;
}

search::DecodeRequest request_for(const SourceBatch& batch, std::int64_t beam) {
  search::DecodeRequest request;
  request.batch = &batch;
  request.options.beam = beam;
  request.options.max_len_a = 1.0;  // each sentence's own
  request.options.max_len_b = 1;
  return request;
}

void expect_same(const search::DecodeResult& wanted, const search::DecodeResult& found) {
  ASSERT_EQ(found.sentences.size(), wanted.sentences.size());
  for (std::size_t s = 0; s < wanted.sentences.size(); ++s) {
    ASSERT_EQ(found.sentences[s].size(), wanted.sentences[s].size()) << "sentence " << s;
    for (std::size_t h = 0; h < wanted.sentences[s].size(); ++h) {
      const auto& one = wanted.sentences[s][h];
      const auto& other = found.sentences[s][h];
      EXPECT_EQ(other.tokens, one.tokens) << "sentence " << s << ", hypothesis " << h;
      EXPECT_NEAR(other.score, one.score, 2e-5);
      ASSERT_EQ(other.positional_scores.size(), one.positional_scores.size());
      for (std::size_t t = 0; t < one.positional_scores.size(); ++t)
        EXPECT_NEAR(other.positional_scores[t], one.positional_scores[t], 5e-5);
    }
  }
}

struct RefillCase {
  Attention attention;
  std::int64_t beam;
  std::int64_t places;
  std::int64_t source_tokens = 0;
};

class Refill : public testing::TestWithParam<RefillCase> {
 protected:
  Refill() {
    options_.attention = GetParam().attention;
    device_ = load_device_model(checkpoint(), options_, make_emulated_device(80));
    cpu_ = model::load_transformer(checkpoint(), options_);
  }
  void check(search::DecodeRequest request, std::int64_t& steps) {
    const search::DecodeResult wanted = search::decode(*cpu_, request);
    request.places = GetParam().places;
    request.source_tokens = GetParam().source_tokens;
    std::vector<std::int64_t> told;
    request.finished = [&](std::int64_t s, const std::vector<search::FinishedHypothesis>& all) {
      EXPECT_EQ(all.size(), wanted.sentences[usize(s)].size());
      told.push_back(s);
    };
    ASSERT_TRUE(device_->decodes(request));
    const search::DecodeResult found = device_->decode(request);
    expect_same(wanted, found);
    std::sort(told.begin(), told.end());
    ASSERT_EQ(told.size(), kSentences);
    for (std::size_t s = 0; s < kSentences; ++s) EXPECT_EQ(told[s], ssize(s));
    steps = found.counters.steps;
  }
  std::int64_t steps_in_batches(search::DecodeRequest request) {
    std::int64_t steps = 0;
    const SourceBatch all = *request.batch;
    for (std::size_t first = 0; first < kSentences; first += usize(GetParam().places)) {
      SourceBatch part;
      for (std::size_t s = first; s < std::min(kSentences, first + usize(GetParam().places)); ++s) {
        part.sentences.push_back(all.sentences[s]);
        part.padded_lengths.push_back(all.padded_lengths[s]);
        part.padded_length = std::max(part.padded_length, all.padded_lengths[s]);
      }
      request.batch = &part;
      steps += device_->decode(request).counters.steps;
    }
    return steps;
  }

  model::TransformerOptions options_;
  std::unique_ptr<DeviceModel> device_;
  std::unique_ptr<model::Transformer> cpu_;
};

TEST_P(Refill, GivesTheSameInFewerSteps) {
  const SourceBatch batch = mixed_lengths();
  const search::DecodeRequest request = request_for(batch, GetParam().beam);
  std::int64_t steps = 0;
  check(request, steps);
  if (GetParam().source_tokens == 0) {
    EXPECT_LT(steps, steps_in_batches(request));
  }
}

TEST_P(Refill, KeepsTheRulesOfTheSearch) {
  const SourceBatch batch = mixed_lengths();
  search::DecodeRequest request = request_for(batch, GetParam().beam);
  request.options.min_len = 2;
  request.options.unk_penalty = 0.5;
  request.options.lenpen = 0.6;
  request.options.temperature = 1.3;
  std::int64_t steps = 0;
  check(request, steps);
}

class RefillDraws : public Refill {};  // the emulated device takes long for them

TEST_P(RefillDraws, DrawsByCounters) {
  const SourceBatch batch = mixed_lengths();
  search::DecodeRequest request = request_for(batch, GetParam().beam);
  request.options.strategy = Strategy::kSampling;
  request.options.counter_draws = true;
  request.options.sampling_topk = 4;
  request.options.draw_seed = 11;
  for (std::size_t s = 0; s < kSentences; ++s) request.sentence_ids.push_back(1000 - 7 * ssize(s));
  std::int64_t steps = 0;
  check(request, steps);
}

std::string name_of(const testing::TestParamInfo<RefillCase>& refill) {
  const RefillCase& c = refill.param;
  const std::string tokens =
      c.source_tokens > 0 ? "_tokens_" + std::to_string(c.source_tokens) : "";
  return std::string(c.attention == Attention::kEl ? "el" : "mha") + "_beam_" +
         std::to_string(c.beam) + "_places_" + std::to_string(c.places) + tokens;
}

INSTANTIATE_TEST_SUITE_P(
    All, Refill,
    testing::Values(RefillCase{Attention::kEl, 1, 2}, RefillCase{Attention::kEl, 4, 3},
                    RefillCase{Attention::kEl, 5, 4}, RefillCase{Attention::kMha, 1, 4},
                    RefillCase{Attention::kMha, 4, 2}, RefillCase{Attention::kMha, 5, 3},
                    RefillCase{Attention::kEl, 4, 4, 20}, RefillCase{Attention::kMha, 2, 5, 14}),
    name_of);
INSTANTIATE_TEST_SUITE_P(All, RefillDraws,
                         testing::Values(RefillCase{Attention::kEl, 4, 3},
                                         RefillCase{Attention::kMha, 3, 2}),
                         name_of);

// In half precision the CPU rounds elsewhere: what is decoded together makes no difference.
TEST(RefillHalf, GivesWhatBatchesGive) {
  const SourceBatch batch = mixed_lengths();
  for (const Attention attention : {Attention::kEl, Attention::kMha}) {
    for (const int like : {80, 90}) {
      model::TransformerOptions options;
      options.attention = attention;
      options.half = true;
      const auto model = load_device_model(checkpoint(), options, make_emulated_device(like));
      search::DecodeRequest request = request_for(batch, 4);
      const search::DecodeResult wanted = model->decode(request);
      request.places = 3;
      expect_same(wanted, model->decode(request));
    }
  }
}

}  // namespace
}  // namespace elbeam::device
