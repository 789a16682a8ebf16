// The kernels of the vocabulary and of n-grams on the device under test, against plain code.
#include "base/checked_math.hpp"
#include "device/device_array.hpp"
#include "kernels/launch_plan.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

namespace elbeam::kernels {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();
constexpr int kThreads = 64;
constexpr int kStride = 16;

struct VocabularyCase {
  int rows = 1;
  int vocab = 100;
  int beam = 2;
  int parts = 1;
  int step = 3;
  bool equal_logits = false;  // ties are in the order of the tokens
  bool bans = false;
  NextTokenRules rules;
  SentenceLimits limits;  // of all rows
};

VocabularyCase random_case(std::mt19937& random, int i) {
  VocabularyCase c;
  c.rows = random_int(random, 1, 3);
  c.vocab = random_int(random, 20, i % 10 == 0 ? 3000 : 400);
  c.beam = random_int(random, 1, i % 4 == 0 ? 40 : 8);
  c.parts = random_int(random, 1, 3);
  c.step = random_int(random, 0, 6);
  c.equal_logits = i % 7 == 0;
  c.bans = i % 3 == 0;
  c.rules = {1,
             2,
             3,
             random_int(random, 0, c.step + 1),
             i % 4 < 2 ? 0.0F : 1.5F,
             i % 5 == 0 ? 1.0F : 1.3F};
  c.limits.first_step = random_int(random, 0, 4);
  c.limits.max_len = c.step + random_int(random, 0, 2);
  if (i % 4 == 3) {
    c.limits.prompt = random_int(random, 0, 3);
    const int length = c.limits.prompt + c.step;
    c.limits.max_len = length + random_int(random, 0, 2);
    c.limits.prefix_width = random_int(random, 0, length + 1);
    c.rules.min_len = random_int(random, 0, length + 1);
  }
  return c;
}

bool may_follow(const VocabularyCase& c, int token) {
  if (token == c.rules.pad) return false;
  const int length = c.limits.prompt + c.step;
  if (token != c.rules.eos) return length < c.limits.max_len;
  return length >= c.rules.min_len || length < c.limits.prefix_width;
}

// Tokens begin .. end - 1 that may follow, best first.
template <typename T>
std::vector<int> best_tokens(const VocabularyCase& c, const T* logits, int begin, int end,
                             const std::set<int>& banned) {
  std::vector<int> tokens;
  for (int token = begin; token < end; ++token) {
    if (may_follow(c, token) && !banned.contains(token)) tokens.push_back(token);
  }
  const auto value = [&](int token) {
    const float x = to_float(logits[token]) / c.rules.temperature;
    return token == c.rules.unk ? x - c.rules.unk_penalty : x;
  };
  std::stable_sort(tokens.begin(), tokens.end(), [&](int a, int b) { return value(a) > value(b); });
  tokens.resize(usize(2 * c.beam), kNoToken);
  return tokens;
}

template <typename T>
void check_row(const VocabularyCase& c, const T* logits, const std::set<int>& banned,
               const VocabularyArgs<T>& found, int row) {
  const int turn = kThreads * 4;
  const int turns = (c.vocab + turn - 1) / turn;
  double total = 0.0;
  double found_total = 0.0;
  for (int t = 0; t < c.vocab; ++t)
    total += std::exp(static_cast<double>(to_float(logits[t]) / c.rules.temperature));
  for (int p = 0; p < c.parts; ++p) {
    const int place = row * c.parts + p;
    found_total += static_cast<double>(found.stats[2 * place + 1]) *
                   std::exp(static_cast<double>(found.stats[2 * place]));
    const int end = std::min(c.vocab, turns * (p + 1) / c.parts * turn);
    const auto wanted = best_tokens(c, logits, turns * p / c.parts * turn, end, banned);
    for (int i = 0; i < 2 * c.beam; ++i) {
      const int token = found.candidates[place * 2 * c.beam + i];
      ASSERT_EQ(token, wanted[usize(i)]) << "candidate " << i << " of part " << p;
      ASSERT_EQ(found.values[place * 2 * c.beam + i],
                token == kNoToken ? kImpossible : to_float(logits[token]) / c.rules.temperature);
    }
  }
  ASSERT_NEAR(found_total / total, 1.0, 1e-5);
}

template <typename T>
void check_vocabulary(const VocabularyCase& c, std::mt19937& random) {
  auto logits = random_numbers<T>(random, usize(c.rows * c.vocab), 3.0F);
  for (std::size_t i = 0; c.equal_logits && i < logits.size(); ++i)
    logits[i] = from_float<T>(i % 3 == 0 ? -0.0F : 0.0F);  // equal, though not the same bits
  std::vector<std::int32_t> banned(usize(c.rows * kStride), -1);
  for (std::int32_t& token : banned) {
    if (c.bans) token = random_int(random, 4, c.vocab - 1);
  }
  const std::size_t lists = usize(c.rows * c.parts);
  DeviceArray<StepState> state(
      std::vector<StepState>{{c.step + c.limits.first_step, c.rows, c.rows, 1}});
  DeviceArray<T> device_logits(logits);
  DeviceArray<std::int32_t> device_banned(banned), tokens(lists * usize(2 * c.beam));
  DeviceArray<float> stats(2 * lists), values(lists * usize(2 * c.beam));
  DeviceArray<SentenceLimits> limits(std::vector<SentenceLimits>{{9, 9, 1}, c.limits});
  DeviceArray<std::int32_t> sentence_of(std::vector<std::int32_t>(usize(c.rows), 1));
  VocabularyArgs<T> args;
  args.state = state.data();
  args.logits = device_logits.data();
  args.banned = c.bans ? device_banned.data() : nullptr;
  args.banned_stride = kStride;
  args.stats = stats.data();
  args.values = values.data();
  args.candidates = tokens.data();
  args.rules = c.rules;
  args.rules.limits = limits.data();
  args.rules.sentence_of = sentence_of.data();
  args.vocab = c.vocab;
  args.wanted = 2 * c.beam;
  under_test::set_schedule(random_int(random, 0, 5));
  // One block more than there are rows: it has to leave everything alone.
  under_test::kernels<T>().vocabulary[list_index(c.beam)](
      args, {c.rows + 1, c.parts, 1, kThreads, vocabulary_shared_bytes(args.wanted, kThreads)});
  under_test::set_schedule(0);
  for (int r = 0; r < c.rows; ++r) {
    const auto first = banned.begin() + r * kStride;
    check_row(c, logits.data() + r * c.vocab,
              std::set<int>(first, first + (c.bans ? c.limits.prompt + c.step + 1 : 0)), args, r);
  }
}

TEST(VocabularyKernel, BestTokensAndLogSum) {
  std::mt19937 random(11);
  for (int i = 0; i < 600; ++i) {
    const VocabularyCase c = random_case(random, i);
    if (i / 4 % 2 == 0) {
      check_vocabulary<float>(c, random);
    } else {
      check_vocabulary<Half>(c, random);
    }
    ASSERT_FALSE(HasFailure()) << "case " << i;
  }
}

// Not a number anywhere makes the sum none, and its token is no candidate.
TEST(VocabularyKernel, NotANumber) {
  std::vector<float> logits(200, 1.0F);
  logits[0] = std::numeric_limits<float>::quiet_NaN();
  DeviceArray<StepState> state(std::vector<StepState>{{3, 1, 1, 1}});
  DeviceArray<float> device_logits(logits), stats(2), values(4);
  DeviceArray<std::int32_t> tokens(4), sentence_of(std::vector<std::int32_t>{0});
  DeviceArray<SentenceLimits> limits(std::vector<SentenceLimits>{{0, 0, 10}});
  VocabularyArgs<float> args;
  args.state = state.data();
  args.logits = device_logits.data();
  args.stats = stats.data();
  args.values = values.data();
  args.candidates = tokens.data();
  args.rules = {1, 2, 3, 1, 0.0F, 1.0F, limits.data(), sentence_of.data()};
  args.vocab = 200;
  args.wanted = 4;
  under_test::kernels<float>().vocabulary[0](
      args, {1, 1, 1, kThreads, vocabulary_shared_bytes(4, kThreads)});
  EXPECT_TRUE(std::isnan(stats.host()[1]));
  EXPECT_EQ(tokens.host(), (std::vector<std::int32_t>{2, 3, 4, 5}));
}

std::set<int> repeated(const std::vector<int>& path, int n) {
  std::set<int> tokens;
  const int last = static_cast<int>(path.size()) - (n - 1);
  for (int k = n == 1 ? 1 : 0; k < last; ++k) {
    if (std::equal(path.begin() + last, path.end(), path.begin() + k))
      tokens.insert(path[usize(k + n - 1)]);
  }
  return tokens;
}

// The banned tokens of random histories with few different tokens; every other time behind prompts
// of several lengths.
TEST(NgramKernel, BansWhatWouldRepeat) {
  std::mt19937 random(12);
  for (int i = 0; i < 300; ++i) {
    const int rows = random_int(random, 1, 4);
    const int length = random_int(random, 1, 8);
    const int n = random_int(random, 1, 4);
    const bool prompted = i % 2 == 1;
    std::vector<std::int32_t> prompts, offsets{0};
    std::vector<SentenceLimits> limits;
    for (int s = 0; s < rows; ++s) {
      const int size = prompted ? random_int(random, 0, 5) : 0;
      for (int t = 0; t < size; ++t) prompts.push_back(random_int(random, 5, 7));
      offsets.push_back(offsets.back() + size);
      limits.push_back({size, 0, 99, 4});
    }
    std::vector<std::int32_t> sentence_of(usize(rows));
    std::iota(sentence_of.rbegin(), sentence_of.rend(), 0);
    DeviceArray<std::int32_t> device_prompts(prompts), device_offsets(offsets),
        device_sentences(sentence_of);
    DeviceArray<SentenceLimits> device_limits(limits);
    std::vector<std::int32_t> tokens(usize(rows * length));
    std::vector<std::int32_t> ancestors(usize(rows * kStride));
    for (auto& token : tokens) token = random_int(random, 5, 7);
    for (auto& slot : ancestors) slot = random_int(random, 0, rows - 1);
    DeviceArray<StepState> state(std::vector<StepState>{{length - 1 + 4, rows, rows, 1}});
    DeviceArray<std::int32_t> device_tokens(tokens), table(ancestors),
        banned(usize(rows * kStride));
    NgramArgs args;
    args.state = state.data();
    args.history = {device_tokens.data(), nullptr, rows, {table.data(), table.data()}, kStride};
    args.banned = banned.data();
    args.banned_stride = kStride;
    args.size = n;
    args.rules.limits = device_limits.data();
    args.rules.sentence_of = device_sentences.data();
    if (prompted) {
      args.prompts = device_prompts.data();
      args.prompt_offsets = device_offsets.data();
    }
    under_test::set_schedule(i % 6);
    under_test::search_kernels().ban_ngrams(args, {rows, 1, 1, kThreads, (length + 5) * 4});
    under_test::set_schedule(0);
    for (int r = 0; r < rows; ++r) {
      const std::size_t sentence = usize(sentence_of[usize(r)]);
      std::vector<int> path(prompts.begin() + offsets[sentence],
                            prompts.begin() + offsets[sentence + 1]);
      for (int t = 0; t < length; ++t)
        path.push_back(tokens[usize(t * rows + ancestors[usize(r * kStride + t)])]);
      std::set<int> found;
      for (std::size_t t = 0; t < path.size(); ++t)
        found.insert(banned.data()[usize(r * kStride) + t]);
      found.erase(-1);
      ASSERT_EQ(repeated(path, n), found) << "n " << n << ", length " << length;
    }
  }
}

}  // namespace
}  // namespace elbeam::kernels
