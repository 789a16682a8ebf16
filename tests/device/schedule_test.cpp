// Fairseq batches whose sentences begin in the places of others, on an emulated device.
#include "archive/checkpoint.hpp"
#include "base/checked_math.hpp"
#include "device/device_model.hpp"
#include "device/frail_device.hpp"
#include "runtime/scheduler.hpp"
#include "support/test_paths.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace elbeam::runtime {
namespace {

constexpr std::size_t kBatches = 10;
constexpr std::size_t kSize = 2;

struct Frail {
  Frail() {
    device = std::make_shared<device::FrailDevice>();
    generator = std::make_unique<Generator>(
        device::load_device_model(
            archive::Checkpoint::open(std::string(test::kDataFolder) + "/toy/ckpt/tf.pt"), {},
            device),
        SpecialTokens{});
  }
  std::shared_ptr<device::FrailDevice> device;
  std::unique_ptr<Generator> generator;
};

// Longer and longer sources, as fairseq sorts them.
std::vector<GenerateRequest> batches() {
  std::mt19937 random(9);
  std::vector<GenerateRequest> requests(kBatches);
  for (std::size_t b = 0; b < kBatches; ++b) {
    for (std::size_t s = 0; s < kSize; ++s) {
      auto& sentence = requests[b].batch.sentences.emplace_back();
      for (std::size_t t = 0; t < 3 + b / 2 + s; ++t)
        sentence.push_back(4 + static_cast<std::int64_t>(random() % 20));
      sentence.push_back(2);
      requests[b].batch.padded_length = ssize(sentence.size());
      requests[b].sentence_ids.push_back(ssize(100 + kSize * b + s));
    }
  }
  return requests;
}

SearchOptions search_options() {
  SearchOptions search;
  search.beam = search.nbest = 2;
  search.max_len_a = 1.0;
  search.max_len_b = 2;
  return search;
}

using Results = std::vector<std::vector<SentenceResult>>;

void schedule(Scheduler& scheduler, Results& results) {
  const auto requests = batches();
  std::size_t next = 0;
  scheduler.run(
      [&]() -> std::optional<GenerateRequest> {
        if (next == requests.size()) return std::nullopt;
        return requests[next++];
      },
      [&](std::vector<SentenceResult> found) { results.push_back(std::move(found)); });
}

Results one_by_one(const Generator& generator) {
  Results results;
  for (const GenerateRequest& request : batches())
    results.push_back(generator.generate(request, search_options()));
  return results;
}

void expect_same(const Results& wanted, const Results& found) {
  for (std::size_t b = 0; b < found.size(); ++b) {
    ASSERT_EQ(found[b].size(), kSize);
    for (std::size_t s = 0; s < kSize; ++s) {
      ASSERT_EQ(found[b][s].hypotheses.size(), wanted[b][s].hypotheses.size());
      for (std::size_t h = 0; h < wanted[b][s].hypotheses.size(); ++h) {
        EXPECT_EQ(found[b][s].hypotheses[h].tokens, wanted[b][s].hypotheses[h].tokens);
        EXPECT_NEAR(found[b][s].hypotheses[h].score, wanted[b][s].hypotheses[h].score, 2e-5);
      }
    }
  }
}

// All batches, as they were one by one.
void expect_all(Scheduler& scheduler, const Results& wanted) {
  Results found;
  schedule(scheduler, found);
  ASSERT_EQ(found.size(), kBatches);
  expect_same(wanted, found);
}

// Most rows of a step, on average, since the statistics were these.
double rows_of_a_step(const Generator& generator, const Statistics& before) {
  const Statistics now = generator.statistics();
  return static_cast<double>(now.decoder_rows - before.decoder_rows) /
         static_cast<double>(now.steps - before.steps);
}

TEST(RefilledSchedule, BatchesGiveTheirResultsInFewerSteps) {
  const Frail frail;
  const Results wanted = one_by_one(*frail.generator);
  const Statistics alone = frail.generator->statistics();
  ScheduleOptions options;
  options.max_tokens = 20;  // four sentences of the first batches, two of the last
  for (const int workers : {1, 2}) {
    options.background = workers == 2;
    const Statistics before = frail.generator->statistics();
    Scheduler scheduler(*frail.generator, search_options(), options);
    expect_all(scheduler, wanted);
    EXPECT_LE(scheduler.counters().groups, 2);
    EXPECT_LT(frail.generator->statistics().steps - before.steps, alone.steps);
    EXPECT_LE(rows_of_a_step(*frail.generator, before), 4.0 * 2.0);
  }
}

TEST(RefilledSchedule, PlacesStayBelowTheLimit) {
  const Frail frail;
  const Results wanted = one_by_one(*frail.generator);
  for (const std::int64_t places : {1, 2, 3}) {
    ScheduleOptions options;
    options.share = false;
    options.memory_limit = frail.generator->predict_memory(
        std::vector<std::int64_t>(usize(places), 9), 9, search_options());
    const Statistics before = frail.generator->statistics();
    Scheduler scheduler(*frail.generator, search_options(), options);
    expect_all(scheduler, wanted);
    EXPECT_LE(scheduler.counters().groups, 2);
    EXPECT_LE(rows_of_a_step(*frail.generator, before), static_cast<double>(2 * places));
  }
}

// Memory that is less than predicted halves places until it does.
TEST(RefilledSchedule, TooLittleMemoryMakesPlacesFewer) {
  const Frail frail;
  const Results wanted = one_by_one(*frail.generator);
  std::int64_t most_splits = 0;
  bool enough = false;
  for (frail.device->memory = 1000; !enough; frail.device->memory *= 2) {
    Scheduler scheduler(*frail.generator, search_options(), {});
    Results found;
    try {
      schedule(scheduler, found);
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kOutOfMemory) << error.what();
      EXPECT_TRUE(found.empty());
      continue;
    }
    ASSERT_EQ(found.size(), kBatches);
    expect_same(wanted, found);
    enough = scheduler.counters().splits == 0;
    most_splits = std::max(most_splits, scheduler.counters().splits);
  }
  EXPECT_GT(most_splits, 1);
}

// What has finished by then is delivered; the message names the others.
TEST(RefilledSchedule, AFailureLosesNothingThatHasFinished) {
  const Frail frail;
  const Results wanted = one_by_one(*frail.generator);
  ScheduleOptions options;
  options.max_tokens = 12;
  options.background = true;
  std::size_t most = 0;
  for (const int steps : {0, 10, 30, 50}) {
    frail.device->steps_left = steps;
    Scheduler scheduler(*frail.generator, search_options(), options);
    Results found;
    try {
      schedule(scheduler, found);
      ADD_FAILURE() << "nothing failed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDevice);
      const std::string text = error.what();
      EXPECT_NE(
          text.find("launch failure (batches " + std::to_string(found.size()) + " to 9, sent"),
          std::string::npos)
          << text;
      for (std::size_t s = 0; s < found.size() * kSize; ++s)
        EXPECT_EQ(text.find(std::to_string(100 + s)), std::string::npos) << text;
    }
    expect_same(wanted, found);
    EXPECT_GE(found.size(), most);
    most = found.size();
  }
  EXPECT_GT(most, 2U);
  frail.device->steps_left = 1 << 30;
}

}  // namespace
}  // namespace elbeam::runtime
