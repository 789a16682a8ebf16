// Random draws on the device under test: against the CPU's sampler, and against the distribution
// that they are of, in double precision.
#include "base/checked_math.hpp"
#include "base/philox.hpp"
#include "device/device_array.hpp"
#include "kernels/launch_plan.hpp"
#include "search/sampling.hpp"

#include <algorithm>
#include <numeric>
#include <set>

namespace elbeam::kernels {
namespace {

constexpr int kThreads = 64;

// The test vectors of the authors' Random123 (kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers) {
  if (kTraced) GTEST_SKIP() << "of numbers, not of accesses";
  constexpr std::uint32_t kOnes = 0xffffffffU;
  const auto expect = [](std::uint64_t key, PhiloxWords counter, PhiloxWords wanted) {
    const PhiloxWords found = philox(key, counter);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(found.word[i], wanted.word[i]) << i;
  };
  expect(0, {{0, 0, 0, 0}}, {{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U}});
  expect(~std::uint64_t{0}, {{kOnes, kOnes, kOnes, kOnes}},
         {{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU}});
  expect(0x299f31d0a4093822U, {{0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U}},
         {{0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U}});
}

struct SampleCase {
  int groups = 2;
  int beam = 2;
  bool first_step = false;
  bool one_row = false;  // in the first step: else as many as the beam, of which the first counts
  int vocab = 40;
  int step = 3;
  int topk = -1;
  float topp = -1.0F;
  std::uint64_t seed = 1;
  int max_len = 99;
  NextTokenRules rules{1, 2, 3, 0, 0.0F, 1.0F};

  int group_rows() const { return first_step && one_row ? 1 : beam; }
  int rows() const { return groups * group_rows(); }
};

struct Draws {
  std::vector<std::int32_t> tokens;
  std::vector<float> log_probs;
  std::vector<std::int32_t> failed;
};

template <typename T>
Draws draw(const SampleCase& c, const std::vector<T>& logits, const std::vector<std::uint32_t>& ids,
           const std::vector<std::int32_t>& banned = {}) {
  std::vector<std::int32_t> sentence_of(usize(c.groups));
  std::iota(sentence_of.begin(), sentence_of.end(), 0);
  DeviceArray<T> dlogits(logits);
  // Sentences that began in the run's third step, or begin now behind a prompt.
  DeviceArray<StepState> state(
      std::vector<StepState>{{c.step + 3, c.groups, c.rows(), c.group_rows()}});
  DeviceArray<SentenceLimits> limits(std::vector<SentenceLimits>(
      usize(c.groups), {c.first_step ? c.step : 0, 0, c.max_len, c.first_step ? c.step + 3 : 3}));
  DeviceArray<std::int32_t> tokens(usize(c.groups * c.beam)), sentences(sentence_of),
      failed(std::vector<std::int32_t>(usize(c.rows()), 0)), dbanned(banned);
  DeviceArray<std::uint32_t> dids(ids);
  DeviceArray<float> log_probs(usize(c.groups * c.beam));
  SampleArgs<T> args;
  args.state = state.data();
  args.logits = dlogits.data();
  args.banned = banned.empty() ? nullptr : dbanned.data();
  args.banned_stride = c.step + 1;
  args.tokens = tokens.data();
  args.log_probs = log_probs.data();
  args.failed = failed.data();
  args.rules = c.rules;
  args.rules.limits = limits.data();
  args.rules.sentence_of = sentences.data();
  args.ids = dids.data();
  args.seed = c.seed;
  args.vocab = c.vocab;
  args.beam = c.beam;
  args.topk = c.topk;
  args.topp = c.topp;
  // One block more than there are rows.
  under_test::kernels<T>().sample(args,
                                  {c.rows() + 1, 1, 1, kThreads, sample_shared_bytes(kThreads)});
  return {tokens.host(), log_probs.host(), failed.host()};
}

// What the CPU draws from log-probabilities that the rules have been applied to.
std::vector<search::Candidate> cpu_draws(const SampleCase& c, std::vector<float> log_probs,
                                         const std::vector<std::uint32_t>& ids) {
  search::DecodeRequest request;
  request.options.strategy = Strategy::kSampling;
  request.options.counter_draws = true;
  request.options.draw_seed = c.seed;
  request.options.sampling_topk = c.topk;
  request.options.sampling_topp = static_cast<double>(c.topp);
  request.sentence_ids.assign(ids.begin(), ids.end());
  search::DecodePlan plan;
  plan.vocab = c.vocab;
  plan.max_rows = c.groups * c.beam;
  search::Sampling sampling(request, plan);
  std::vector<std::int64_t> sentences(usize(c.groups));
  std::iota(sentences.begin(), sentences.end(), 0);
  const int group_rows = c.first_step ? 1 : c.beam;
  for (int g = 0; c.first_step && g < c.groups; ++g) {
    std::copy_n(log_probs.begin() + g * c.group_rows() * c.vocab, c.vocab,
                log_probs.begin() + g * c.vocab);
  }
  log_probs.resize(usize(c.groups * group_rows * c.vocab));
  const std::vector<float> scores(usize(c.groups * group_rows), 0.0F);
  sampling.begin_step({c.step, c.beam, c.vocab, group_rows, sentences, log_probs, scores});
  std::vector<search::Candidate> all;
  for (const std::int64_t sentence : sentences) {
    search::SentenceStep step;
    step.beam = c.beam;
    step.sentence = sentence;
    std::vector<search::Candidate> candidates;
    sampling.propose(step, candidates);
    all.insert(all.end(), candidates.begin(), candidates.end());
  }
  return all;
}

// log_softmax and the rules, in double, rounded once.
template <typename T>
std::vector<float> ruled(const SampleCase& c, const std::vector<T>& logits,
                         const std::vector<std::int32_t>& banned) {
  std::vector<float> log_probs;
  for (int r = 0; r < c.rows(); ++r) {
    const T* row = logits.data() + r * c.vocab;
    const auto scaled = [&](int t) {
      return static_cast<double>(to_float(row[t])) / static_cast<double>(c.rules.temperature);
    };
    double total = 0.0;
    for (int t = 0; t < c.vocab; ++t) total += std::exp(scaled(t));
    for (int t = 0; t < c.vocab; ++t) {
      const bool impossible = t == c.rules.pad || (t == c.rules.eos && c.step < c.rules.min_len) ||
                              (t != c.rules.eos && c.step >= c.max_len);
      const double penalty = t == c.rules.unk ? static_cast<double>(c.rules.unk_penalty) : 0.0;
      log_probs.push_back(impossible ? -INFINITY
                                     : static_cast<float>(scaled(t) - std::log(total) - penalty));
    }
    for (int i = 0; i <= c.step && !banned.empty(); ++i) {
      const int token = banned[usize(r * (c.step + 1) + i)];
      if (token >= 0) log_probs[usize(r * c.vocab + token)] = -INFINITY;
    }
  }
  return log_probs;
}

SampleCase random_case(std::mt19937& random, int i) {
  SampleCase c;
  c.groups = random_int(random, 1, 3);
  c.beam = random_int(random, 1, 4);
  c.first_step = i % 3 == 0;
  c.one_row = i % 2 == 0;
  c.vocab = random_int(random, 10, i % 10 == 0 ? 5000 : 300);
  c.step = random_int(random, c.first_step ? 0 : 1, 5);
  c.seed = static_cast<std::uint64_t>(random()) << 20;
  if (i % 4 == 1 || i % 4 == 3) c.topk = random_int(random, 1, c.vocab);
  if (i % 4 >= 2) c.topp = 0.1F * static_cast<float>(random_int(random, 1, 10));
  c.rules.min_len = random_int(random, 0, c.step + 1);
  c.max_len = c.step + (i % 9 == 0 && c.rules.min_len <= c.step ? 0 : 1);
  c.rules.unk_penalty = i % 5 == 0 ? 1.5F : 0.0F;
  c.rules.temperature = i % 2 == 0 ? 1.0F : 1.3F;
  return c;
}

// The same tokens and the same bits under every schedule.
template <typename T>
void check_draws(std::mt19937& random, int i) {
  const SampleCase c = random_case(random, i);
  const auto logits = random_numbers<T>(random, usize(c.rows() * c.vocab), 3.0F);
  std::vector<std::int32_t> banned;
  for (int b = 0; i % 3 == 1 && b < c.rows() * (c.step + 1); ++b)
    banned.push_back(random_int(random, -1, 9) < 4 ? -1 : random_int(random, 4, c.vocab - 1));
  std::vector<std::uint32_t> ids;
  for (int g = 0; g < c.groups; ++g) ids.push_back(static_cast<std::uint32_t>(random()));
  const auto wanted = cpu_draws(c, ruled(c, logits, banned), ids);
  Draws first;
  for (int schedule = 0; schedule < (kTraced ? 1 : 6); ++schedule) {
    under_test::set_schedule(schedule);
    const Draws found = draw(c, logits, ids, banned);
    if (schedule == 0) first = found;
    EXPECT_EQ(found.tokens, first.tokens) << "schedule " << schedule;
    EXPECT_EQ(std::memcmp(found.log_probs.data(), first.log_probs.data(),
                          first.log_probs.size() * sizeof(float)),
              0);
  }
  under_test::set_schedule(0);
  for (std::size_t k = 0; k < wanted.size(); ++k) {
    EXPECT_EQ(first.tokens[k], wanted[k].token) << "draw " << k;
    EXPECT_NEAR(first.log_probs[k], wanted[k].score, 2e-5);
  }
  for (const std::int32_t failed : first.failed) EXPECT_EQ(failed, 0);
}

TEST(SampleKernel, DrawsAsTheCpuDoes) {
  std::mt19937 random(51);
  for (int i = 0; i < (kTraced ? 40 : 160) && !HasFailure(); ++i) {
    if (i % 5 < 3) {
      check_draws<float>(random, i);
    } else {
      check_draws<Half>(random, i);
    }
    if (HasFailure()) ADD_FAILURE() << "case " << i;
  }
}

// Tokens that are almost alike: one too many, or too few, is drawn in one of 128 draws.
TEST(SampleKernel, AsManyTokensTakePartAsAreWanted) {
  std::mt19937 random(52);
  SampleCase c;
  c.groups = 16;
  c.beam = 8;
  c.rules.min_len = 99;  // no end
  auto row = random_numbers<float>(random, usize(c.vocab), 0.01F);
  row[1] = -1.0F;  // pad
  std::vector<std::int32_t> order(usize(c.vocab));
  std::iota(order.begin(), order.end(), 0);
  std::erase(order, c.rules.eos);
  std::sort(order.begin(), order.end(),
            [&](std::int32_t a, std::int32_t b) { return row[usize(a)] > row[usize(b)]; });
  std::vector<float> logits;
  for (int r = 0; r < c.rows(); ++r) logits.insert(logits.end(), row.begin(), row.end());
  std::vector<std::uint32_t> ids(usize(c.groups));
  std::iota(ids.begin(), ids.end(), 0U);
  for (const int k : {1, 3, 5}) {
    c.topk = k;
    c.seed = static_cast<std::uint64_t>(k);
    const auto tokens = draw(c, logits, ids).tokens;
    EXPECT_EQ(std::set<std::int32_t>(tokens.begin(), tokens.end()),
              std::set<std::int32_t>(order.begin(), order.begin() + k));
  }
}

TEST(SampleKernel, SaysWhereNothingIsPossible) {
  SampleCase c;
  c.groups = c.beam = 1;
  std::vector<float> logits(usize(c.vocab), -INFINITY);
  logits[1] = 0.0F;  // pad alone
  EXPECT_EQ(draw(c, logits, {0}).failed, std::vector<std::int32_t>{1});
}

// Pearson's statistic of many draws: for each sentence number, step and place in the beam one.
// `expected` are the probabilities of what takes part, in double.
void check_distribution(const SampleCase& wanted, const std::vector<float>& row,
                        const std::vector<double>& expected) {
  SampleCase c = wanted;
  c.groups = 100;
  c.beam = 8;
  std::vector<float> logits;
  for (int r = 0; r < c.rows(); ++r) logits.insert(logits.end(), row.begin(), row.end());
  std::vector<std::uint32_t> ids(usize(c.groups));
  std::iota(ids.begin(), ids.end(), 1000U);
  std::vector<double> counts(expected.size());
  double draws = 0.0;
  for (c.step = 0; c.step < 4; ++c.step) {
    for (const std::int32_t token : draw(c, logits, ids).tokens) counts[usize(token)] += 1.0;
    draws += c.groups * c.beam;
  }
  const double total = std::accumulate(expected.begin(), expected.end(), 0.0);
  double statistic = 0.0;
  int possible = 0;
  for (std::size_t t = 0; t < expected.size(); ++t) {
    if (expected[t] == 0.0) {
      EXPECT_EQ(counts[t], 0.0) << "token " << t;
      continue;
    }
    const double mean = draws * expected[t] / total;
    ASSERT_GT(mean, 5.0);
    statistic += (counts[t] - mean) * (counts[t] - mean) / mean;
    ++possible;
  }
  // Mean k and variance 2 k: 4 deviations.
  const double freedom = possible - 1;
  EXPECT_LT(statistic, freedom + 4.0 * std::sqrt(2.0 * freedom)) << possible << " tokens";
  EXPECT_GT(statistic, freedom - 4.0 * std::sqrt(2.0 * freedom)) << "too even";
}

TEST(SampleKernel, DistributionOfThreeThousandDraws) {
  if (kTraced) GTEST_SKIP() << "of numbers, not of accesses";
  SampleCase c;
  c.vocab = 24;
  c.seed = 77;
  c.rules.min_len = 99;  // no end
  std::vector<float> row;
  std::vector<double> probabilities;
  double total = 0.0;
  for (int t = 0; t < c.vocab; ++t) {
    row.push_back(2.0F - 0.15F * static_cast<float>((t * 7) % c.vocab));
    total += std::exp(static_cast<double>(row.back()));
  }
  for (int t = 0; t < c.vocab; ++t)
    probabilities.push_back(
        t == 1 || t == 2 ? 0.0 : std::exp(static_cast<double>(row[usize(t)])) / total);
  check_distribution(c, row, probabilities);
  std::vector<std::size_t> order(usize(c.vocab));
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return probabilities[a] > probabilities[b]; });
  std::vector<double> best(probabilities.size()), nucleus(probabilities.size());
  double sum = 0.0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i < 6) best[order[i]] = probabilities[order[i]];
    if (sum < 0.7) nucleus[order[i]] = probabilities[order[i]];
    sum += probabilities[order[i]];
  }
  c.topk = 6;
  check_distribution(c, row, best);
  c.topk = -1;
  c.topp = 0.7F;
  check_distribution(c, row, nucleus);
}

}  // namespace
}  // namespace elbeam::kernels
