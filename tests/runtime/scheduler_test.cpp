// What a fairseq batch gives does not depend on the groups, the workers or the memory it is run
// with.
#include "runtime/scheduler.hpp"

#include "base/checked_math.hpp"
#include "support/scripted_model.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <random>

namespace elbeam::runtime {
namespace {

constexpr std::int64_t kVocab = 12;

// Probabilities that depend on source and history; long sources end late.
void script(const test::ScriptInput& input, std::span<float> log_probs) {
  std::uint64_t hash = 1469598103934665603ULL;
  const auto mix = [&](std::int64_t value) {
    hash = (hash ^ static_cast<std::uint64_t>(value)) * 1099511628211ULL;
  };
  for (const std::int64_t token : input.source) mix(token);
  for (const std::int64_t token : input.history) mix(token + 100);
  for (std::size_t v = 0; v < log_probs.size(); ++v) {
    mix(static_cast<std::int64_t>(v));
    log_probs[v] = -1.0F - static_cast<float>(hash >> 40) / static_cast<float>(1 << 22);
  }
  if (input.history.size() < input.source.size() / 2) log_probs[2] -= 3.0F;
}

// Cannot start more than `most` sentences at a time.
class LimitedModel final : public StepModel {
 public:
  explicit LimitedModel(std::int64_t most) : model_(kVocab, 40, script), most_(most) {}

  std::int64_t vocab_size() const override { return model_.vocab_size(); }
  std::int64_t max_decoder_positions() const override { return model_.max_decoder_positions(); }
  std::int64_t max_source_positions() const override { return model_.max_source_positions(); }
  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    if (ssize(batch.sentences.size()) > most_) throw std::bad_alloc();
    largest = std::max(largest.load(), ssize(batch.sentences.size()));
    tokens = std::max(tokens.load(), ssize(batch.sentences.size()) * batch.padded_length);
    return model_.start(batch, shape);
  }

  std::atomic<std::int64_t> largest{0};
  std::atomic<std::int64_t> tokens{0};

 private:
  test::ScriptedModel model_;
  std::int64_t most_;
};

std::vector<GenerateRequest> batches(std::int64_t count, std::int64_t size) {
  std::mt19937 random(7);
  std::vector<GenerateRequest> result(usize(count));
  for (GenerateRequest& request : result) {
    for (std::int64_t i = 0; i < size; ++i) {
      std::vector<std::int64_t> sentence;
      for (auto left = random() % 12; left > 0; --left)
        sentence.push_back(4 + static_cast<std::int64_t>(random() % 8));
      sentence.push_back(2);
      request.batch.padded_length = std::max(request.batch.padded_length, ssize(sentence.size()));
      request.batch.sentences.push_back(std::move(sentence));
    }
  }
  return result;
}

struct Outcome {
  std::vector<std::vector<SentenceResult>> results;
  ScheduleCounters counters;
};

Outcome schedule(const Generator& generator, const std::vector<GenerateRequest>& requests,
                 const SearchOptions& search, const ScheduleOptions& options) {
  Outcome outcome;
  Scheduler scheduler(generator, search, options);
  std::size_t next = 0;
  scheduler.run(
      [&]() -> std::optional<GenerateRequest> {
        if (next == requests.size()) return std::nullopt;
        return requests[next++];
      },
      [&](std::vector<SentenceResult> found) { outcome.results.push_back(std::move(found)); });
  outcome.counters = scheduler.counters();
  return outcome;
}

void expect_as_alone(const Generator& generator, const std::vector<GenerateRequest>& requests,
                     const SearchOptions& search, const Outcome& outcome) {
  ASSERT_EQ(outcome.results.size(), requests.size());
  for (std::size_t b = 0; b < requests.size(); ++b) {
    const auto alone = generator.generate(requests[b], search);
    ASSERT_EQ(outcome.results[b].size(), alone.size());
    for (std::size_t s = 0; s < alone.size(); ++s) {
      const auto& one = outcome.results[b][s].hypotheses;
      ASSERT_EQ(one.size(), alone[s].hypotheses.size());
      for (std::size_t h = 0; h < one.size(); ++h) {
        EXPECT_EQ(one[h].tokens, alone[s].hypotheses[h].tokens);
        EXPECT_EQ(one[h].score, alone[s].hypotheses[h].score);
      }
    }
  }
}

SearchOptions lengths_that_depend_on_padding() {
  SearchOptions search;
  search.beam = search.nbest = 3;
  search.max_len_a = 1.0;
  search.max_len_b = 1;
  return search;
}

template <typename Function>
std::optional<ErrorCode> code_of(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

TEST(Scheduler, ResultsAreThoseOfFairseqsBatches) {
  const auto model = std::make_shared<LimitedModel>(1000);
  const Generator generator(model, {});
  for (const std::int64_t size : {1, 3, 50}) {
    const auto requests = batches(9, size);
    for (const int workers : {1, 3}) {
      for (const bool early : {false, true}) {
        SearchOptions search = lengths_that_depend_on_padding();
        search.early_stopping = early;
        ScheduleOptions options;
        options.workers = workers;
        const Outcome outcome = schedule(generator, requests, search, options);
        expect_as_alone(generator, requests, search, outcome);
        EXPECT_EQ(outcome.counters.batches, 9);
        // 64 hypotheses: small batches are put together, large ones stay as they are.
        EXPECT_EQ(outcome.counters.groups, size == 1 ? 1 : size == 3 ? 2 : 9);
      }
    }
  }
}

TEST(Scheduler, PrefixesKeepTheWidthOfTheirBatch) {
  const Generator generator(std::make_shared<LimitedModel>(1000), {});
  auto requests = batches(6, 2);
  for (std::size_t b = 0; b < requests.size(); ++b) {
    requests[b].prefix_tokens = {std::vector<std::int64_t>(b % 3, 5), {6}};
  }
  SearchOptions search = lengths_that_depend_on_padding();
  search.min_len = 2;  // left out while a batch has prefixes
  search.max_len_b = 4;
  const Outcome outcome = schedule(generator, requests, search, {});
  EXPECT_EQ(outcome.counters.groups, 1);
  expect_as_alone(generator, requests, search, outcome);
}

TEST(Scheduler, AnAllocationThatFailsHalvesTheGroup) {
  const Generator whole(std::make_shared<LimitedModel>(1000), {});
  const SearchOptions search = lengths_that_depend_on_padding();
  const auto requests = batches(4, 10);
  for (const int workers : {1, 2}) {
    const auto model = std::make_shared<LimitedModel>(3);
    ScheduleOptions options;
    options.workers = workers;
    const Outcome outcome = schedule(Generator(model, {}), requests, search, options);
    expect_as_alone(whole, requests, search, outcome);
    EXPECT_GT(outcome.counters.splits, 0);
    EXPECT_LE(model->largest, 3);
  }
  // One sentence cannot be halved.
  const Generator none(std::make_shared<LimitedModel>(0), {});
  EXPECT_EQ(code_of([&] { schedule(none, requests, search, {}); }), ErrorCode::kOutOfMemory);
}

// Fails as a device does, at batches with a sentence that begins with token 11.
class FailingModel final : public StepModel {
 public:
  std::int64_t vocab_size() const override { return model_.vocab_size(); }
  std::int64_t max_decoder_positions() const override { return model_.max_decoder_positions(); }
  std::int64_t max_source_positions() const override { return model_.max_source_positions(); }
  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    for (const auto& sentence : batch.sentences) {
      if (sentence.front() == 11) throw Error(ErrorCode::kDevice, "CUDA: a step: launch failure");
    }
    return model_.start(batch, shape);
  }

 private:
  test::ScriptedModel model_{kVocab, 40, script};
};

TEST(Scheduler, ADeviceThatFailsIsToldWithItsSentences) {
  auto requests = batches(6, 3);
  for (std::size_t b = 0; b < requests.size(); ++b) {
    for (std::size_t s = 0; s < 3; ++s) {
      requests[b].sentence_ids.push_back(ssize(100 + 10 * b + s));
      requests[b].batch.sentences[s].front() = 2;
    }
  }
  requests[4].batch.sentences[1].front() = 11;
  const Generator generator(std::make_shared<FailingModel>(), {});
  for (const int workers : {1, 2}) {
    for (const bool background : {false, true}) {
      ScheduleOptions options;
      options.workers = workers;
      options.background = background;
      options.join = false;
      Scheduler scheduler(generator, lengths_that_depend_on_padding(), options);
      std::size_t next = 0;
      std::size_t delivered = 0;
      try {
        scheduler.run(
            [&]() -> std::optional<GenerateRequest> {
              if (next == requests.size()) return std::nullopt;
              return requests[next++];
            },
            [&](const std::vector<SentenceResult>& found) {
              delivered += 1;
              EXPECT_EQ(found.size(), 3U);
            });
        ADD_FAILURE() << "nothing failed";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kDevice);
        EXPECT_STREQ(error.what(),
                     "CUDA: a step: launch failure (batch 4, sentences 140, 141, 142)");
      }
      EXPECT_EQ(delivered, 4U) << workers << " workers";
    }
  }
}

// Draws by counters depend on the sentence's number alone.
TEST(Scheduler, CountersDrawTheSameInEveryGroup) {
  const Generator generator(std::make_shared<LimitedModel>(1000), {});
  auto requests = batches(5, 4);
  requests[3].batch = requests[0].batch;  // equal sentences are drawn anew
  std::int64_t id = 0;
  for (GenerateRequest& request : requests) {
    for (std::size_t s = 0; s < 4; ++s) request.sentence_ids.push_back(7 * ++id);
  }
  SearchOptions search = lengths_that_depend_on_padding();
  search.strategy = Strategy::kSampling;
  search.counter_draws = true;
  search.draw_seed = 5;
  for (const int workers : {1, 3}) {
    ScheduleOptions options;
    options.workers = workers;
    options.background = true;
    options.max_tokens = 100;
    const Outcome outcome = schedule(generator, requests, search, options);
    EXPECT_LT(outcome.counters.groups, 5);
    EXPECT_EQ(outcome.counters.repeated, 0);
    expect_as_alone(generator, requests, search, outcome);
  }
  search.draw_seed = 6;
  const auto other = generator.generate(requests[0], search);
  search.draw_seed = 5;
  const auto one = generator.generate(requests[0], search);
  EXPECT_NE(other[0].hypotheses[0].positional_scores, one[0].hypotheses[0].positional_scores);
}

TEST(Scheduler, GroupsStayBelowTheLimit) {
  const auto model = std::make_shared<LimitedModel>(1000);
  const Generator generator(model, {});
  const SearchOptions search = lengths_that_depend_on_padding();
  const auto requests = batches(5, 8);
  const std::int64_t one[] = {12};
  const std::int64_t bytes = generator.predict_memory(one, 12, search);
  EXPECT_EQ(bytes, 3 * kVocab * 4);  // a scripted model has no caches
  ScheduleOptions options;
  options.share = false;  // or a part of the limit is kept for results of equal sentences
  options.memory_limit = 5 * bytes;
  const Outcome outcome = schedule(generator, requests, search, options);
  expect_as_alone(generator, requests, search, outcome);
  EXPECT_EQ(outcome.counters.groups, 8);  // 40 sentences, 5 at a time

  options.workers = 2;  // share it
  model->largest = 0;
  expect_as_alone(generator, {}, search, schedule(generator, {}, search, options));
  schedule(generator, requests, search, options);
  EXPECT_EQ(model->largest, 2);

  options.memory_limit = bytes;  // half of it for each
  EXPECT_EQ(code_of([&] { schedule(generator, requests, search, options); }),
            ErrorCode::kOutOfMemory);
}

TEST(Scheduler, MaxTokensBoundsWhatIsPutTogether) {
  const auto model = std::make_shared<LimitedModel>(1000);
  const Generator generator(model, {});
  const SearchOptions search = lengths_that_depend_on_padding();
  ScheduleOptions options;
  options.max_tokens = 25;  // sources have up to 12
  const auto requests = batches(20, 1);
  expect_as_alone(generator, requests, search, schedule(generator, requests, search, options));
  EXPECT_LE(model->tokens, 25);
  EXPECT_GT(model->largest, 1);
}

TEST(Scheduler, EqualSentencesAreDecodedOnce) {
  const auto model = std::make_shared<LimitedModel>(1000);
  const Generator generator(model, {});
  auto requests = batches(6, 5);
  for (std::size_t b = 3; b < 6; ++b) requests[b] = requests[b - 3];
  requests[5].batch.padded_length += 1;  // its outputs may be longer
  const SearchOptions search = lengths_that_depend_on_padding();
  for (const int workers : {1, 2}) {
    ScheduleOptions options;
    options.workers = workers;
    options.max_tokens = 26;  // results of some are there before others come
    const Outcome outcome = schedule(generator, requests, search, options);
    expect_as_alone(generator, requests, search, outcome);
    EXPECT_GE(outcome.counters.repeated, 10);
    EXPECT_LT(outcome.counters.repeated, 15);
    options.share = false;
    const Outcome apart = schedule(generator, requests, search, options);
    expect_as_alone(generator, requests, search, apart);
    EXPECT_EQ(apart.counters.repeated, 0);
  }
  // Other prefixes are other sentences.
  auto forced = batches(1, 2);
  forced[0].batch.sentences[1] = forced[0].batch.sentences[0];
  forced[0].prefix_tokens = {{5}, {6}};
  EXPECT_EQ(schedule(generator, forced, search, {}).counters.repeated, 0);
  forced[0].prefix_tokens = {{5}, {5}};
  EXPECT_EQ(schedule(generator, forced, search, {}).counters.repeated, 1);
}

TEST(Scheduler, WhatDrawsFromOneStreamIsNotRegrouped) {
  const Generator generator(std::make_shared<LimitedModel>(1000), {});
  SearchOptions search;
  search.beam = search.nbest = 2;
  search.strategy = Strategy::kSampling;
  search.max_len_b = 8;
  auto requests = batches(4, 3);
  RandomStream scheduled(3);
  RandomStream alone(3);
  for (GenerateRequest& request : requests) request.random = &scheduled;
  const Outcome outcome = schedule(generator, requests, search, {});
  EXPECT_EQ(outcome.counters.groups, 4);
  for (GenerateRequest& request : requests) request.random = &alone;
  expect_as_alone(generator, requests, search, outcome);
  ScheduleOptions two;
  two.workers = 2;
  EXPECT_EQ(code_of([&] { Scheduler(generator, search, two); }), ErrorCode::kUsage);
  two.workers = 0;
  EXPECT_EQ(code_of([&] { Scheduler(generator, {}, two); }), ErrorCode::kUsage);
}

TEST(Scheduler, ResultsBeforeAnErrorAreDelivered) {
  const Generator generator(std::make_shared<LimitedModel>(1000), {});
  const SearchOptions search = lengths_that_depend_on_padding();
  for (const int workers : {1, 2}) {
    auto requests = batches(4, 30);  // each a group
    requests[2].batch.padded_length = 1;
    ScheduleOptions options;
    options.workers = workers;
    Scheduler scheduler(generator, search, options);
    std::size_t next = 0;
    std::size_t delivered = 0;
    const auto run = [&](std::size_t fails_at) {
      next = delivered = 0;
      scheduler.run(
          [&]() -> std::optional<GenerateRequest> {
            if (next == fails_at) fail(ErrorCode::kIo, "no more");
            if (next == requests.size()) return std::nullopt;
            return requests[next++];
          },
          [&](const std::vector<SentenceResult>&) { ++delivered; });
    };
    EXPECT_EQ(code_of([&] { run(99); }), ErrorCode::kUsage);
    EXPECT_EQ(delivered, 2u);
    EXPECT_EQ(code_of([&] { run(2); }), ErrorCode::kIo);
    EXPECT_EQ(delivered, 2u);
  }
}

// A full disk, say: what cannot be written is not offered again, and neither is what comes after
// it.
TEST(Scheduler, ADeliveryThatFailsIsTheLast) {
  const Generator generator(std::make_shared<LimitedModel>(1000), {});
  const SearchOptions search = lengths_that_depend_on_padding();
  for (const std::int64_t size : {1, 30}) {  // batches of one group, a group each
    for (const int workers : {1, 2}) {
      const auto requests = batches(4, size);
      ScheduleOptions options;
      options.workers = workers;
      options.background = true;
      Scheduler scheduler(generator, search, options);
      std::size_t next = 0;
      std::vector<std::size_t> offered;
      const auto run = [&] {
        scheduler.run(
            [&]() -> std::optional<GenerateRequest> {
              if (next == requests.size()) return std::nullopt;
              return requests[next++];
            },
            [&](const std::vector<SentenceResult>& results) {
              offered.push_back(results.size());
              if (offered.size() == 2) fail(ErrorCode::kIo, "no space left");
            });
      };
      EXPECT_EQ(code_of(run), ErrorCode::kIo);
      EXPECT_EQ(offered, std::vector<std::size_t>(2, usize(size)));
    }
  }
}

}  // namespace
}  // namespace elbeam::runtime
