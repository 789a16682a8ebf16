// The step of the beam on the device under test, against the CPU's, which is held to fairseq's.
#include "base/checked_math.hpp"
#include "device/device_array.hpp"
#include "kernels/launch_plan.hpp"
#include "search/beam_step.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace elbeam::kernels {
namespace {

using search::Candidate;

constexpr float kImpossible = -std::numeric_limits<float>::infinity();
constexpr int kStride = 16;
constexpr int kFirst = 3;  // the step that the sentences began in

// What the kernel is given: some sentences in the middle of their search.
struct BeamCase {
  int groups, beam, group_rows, parts, vocab, step, sentences, max_len;
  bool fresh;  // in the sentences' first step only the first row of each counts
  NextTokenRules rules;
  std::vector<float> stats, values, scores;
  std::vector<std::int32_t> candidates, dead, sentence_of, counts, history, ancestors;
  std::vector<float> history_scores;

  BeamCase(std::mt19937& random, int i)
      : groups(random_int(random, 1, 3)),
        beam(random_int(random, 1, i % 8 == 0 ? 40 : 6)),
        group_rows(i % 10 == 0 ? 1 : beam),
        parts(random_int(random, 1, 3)),
        vocab(parts * 2 * beam + random_int(random, 8, 60)),
        step(i % 5 == 0 ? 0 : random_int(random, 1, 6)),
        sentences(groups + 2),
        max_len(step + random_int(random, 0, 2)),
        fresh(step == 0),
        rules{1, 2, 3, 0, i % 2 == 0 ? 0.0F : 0.75F, 1.0F} {
    for (int r = 0; r < rows(); ++r) {
      scores.push_back(-0.25F * static_cast<float>(random_int(random, 0, 12)));
      add_lists(random, i);
    }
    std::vector<std::int32_t> all(usize(sentences));
    std::iota(all.begin(), all.end(), 0);
    std::shuffle(all.begin(), all.end(), random);
    sentence_of.assign(all.begin(), all.begin() + groups);
    for (int s = 0; s < sentences; ++s) counts.push_back(random_int(random, 0, beam - 1));
    for (int d = 0; d < groups * beam; ++d)
      dead.push_back(i % 4 < 2 && random_int(random, 0, i % 4 == 0 ? 4 : 1) == 0 ? 1 : 0);
    for (int t = 0; t < kStride * rows(); ++t) {
      history.push_back(random_int(random, 4, 99));
      history_scores.push_back(static_cast<float>(random_int(random, -99, 0)));
      ancestors.push_back(random_int(random, 0, rows() - 1));
    }
  }
  int rows() const { return groups * group_rows; }

  // A row's best tokens of each part of the vocabulary: with many equal values, with nearly none
  // that is possible, or with the end of the sentence among the best.
  void add_lists(std::mt19937& random, int i) {
    const bool ties = i % 3 == 0;
    for (int p = 0; p < parts; ++p) {
      stats.push_back(ties ? 4.0F : static_cast<float>(random_int(random, 2, 5)));
      stats.push_back(ties ? 3.0F : static_cast<float>(random_int(random, 1, 90)) / 7.0F);
      std::vector<std::int32_t> tokens;
      for (int t = vocab * p / parts; t < vocab * (p + 1) / parts; ++t) {
        if (t != rules.pad) tokens.push_back(t);
      }
      std::shuffle(tokens.begin(), tokens.end(), random);
      if (p > 0) tokens.resize(usize(random_int(random, 0, 2 * beam)));  // may be fewer
      std::vector<std::pair<float, std::int32_t>> list;
      for (const std::int32_t token : tokens) {
        const float value = 0.5F * static_cast<float>(random_int(random, -8, 8)) +
                            (ties ? 0.0F : 0.001F * static_cast<float>(random_int(random, 0, 200)));
        const float added = token == rules.eos && i % 4 == 1 ? 5.0F : 0.0F;
        const int dice = random_int(random, 0, 30);
        const bool impossible = i % 7 == 1 ? dice > 1 : dice == 0;
        list.emplace_back(impossible ? -kImpossible : -value - added, token);
      }
      std::sort(list.begin(), list.end());
      for (int k = 0; k < 2 * beam; ++k) {
        const bool there = k < ssize(list.size());
        candidates.push_back(there ? list[usize(k)].second : kNoToken);
        values.push_back(there ? -list[usize(k)].first : kImpossible);
      }
    }
  }

  // The best 2 * beam extensions of a group; equal ones in the order of row and token.
  std::vector<Candidate> best(int group) const {
    std::vector<Candidate> all;
    for (int r = 0; r < (fresh ? 1 : group_rows); ++r) {
      const int row = group * group_rows + r;
      double maximum = -INFINITY;
      for (int p = 0; p < parts; ++p)
        maximum = std::max(maximum, static_cast<double>(stats[usize(2 * (row * parts + p))]));
      double total = 0.0;
      for (int p = 0; p < parts; ++p) {
        const std::size_t place = usize(2 * (row * parts + p));
        total += static_cast<double>(stats[place + 1]) *
                 std::exp(static_cast<double>(stats[place]) - maximum);
      }
      for (int k = 0; k < parts * 2 * beam; ++k) {
        const std::size_t place = usize(row * parts * 2 * beam + k);
        if (candidates[place] == kNoToken) continue;
        float log_prob =
            values[place] - static_cast<float>(maximum) - static_cast<float>(std::log(total));
        if (candidates[place] == rules.unk) log_prob -= rules.unk_penalty;
        all.push_back({scores[usize(row)] + log_prob, candidates[place], r});
      }
    }
    std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
      return a.score != b.score ? a.score > b.score
                                : std::pair(a.row, a.token) < std::pair(b.row, b.token);
    });
    all.resize(std::min(all.size(), usize(2 * beam)));
    return all;
  }
};

struct DeviceBeam {
  explicit DeviceBeam(const BeamCase& c)
      : places(usize(c.groups * c.beam)),
        state(std::vector<StepState>{{c.step + kFirst, c.groups, c.rows(), c.group_rows}}),
        stats(c.stats),
        values(c.values),
        scores(c.scores),
        history_scores(c.history_scores),
        candidates(c.candidates),
        dead(c.dead),
        sentence_of(c.sentence_of),
        count(c.counts),
        history(c.history),
        ancestors(c.ancestors),
        live(usize(c.groups)),
        sentences(usize(c.groups)),
        parents(places),
        tokens(places),
        to_dead(places),
        to_scores(places),
        length(usize(c.sentences * c.beam)),
        finished_score(usize(c.sentences * c.beam)),
        finished_tokens(usize(c.sentences * c.beam * kStride)),
        finished_scores(usize(c.sentences * c.beam * kStride)),
        limits(std::vector<SentenceLimits>(usize(c.sentences), {2, 0, c.max_len + 2, kFirst})) {
    args.state = state.data();
    args.history = {history.data(),
                    history_scores.data(),
                    c.rows(),
                    {ancestors.data(), ancestors.data()},
                    kStride};
    args.history.ancestors[(c.step + kFirst + 1) % 2] = nullptr;
    args.stats = stats.data();
    args.values = values.data();
    args.candidates = candidates.data();
    args.scores = scores.data();
    args.dead = dead.data();
    args.survivors = {live.data(),   sentences.data(), parents.data(),
                      tokens.data(), to_scores.data(), to_dead.data()};
    args.finished = {count.data(),           length.data(),          finished_score.data(),
                     finished_tokens.data(), finished_scores.data(), kStride};
    args.rules = c.rules;
    args.rules.limits = limits.data();
    args.rules.sentence_of = sentence_of.data();
    args.vocab = c.vocab;
    args.parts = c.parts;
    args.beam = c.beam;
  }
  std::size_t places;
  DeviceArray<StepState> state;
  DeviceArray<float> stats, values, scores, history_scores;
  DeviceArray<std::int32_t> candidates, dead, sentence_of, count, history, ancestors;
  DeviceArray<std::int32_t> live, sentences, parents, tokens, to_dead;
  DeviceArray<float> to_scores;
  DeviceArray<std::int32_t> length;
  DeviceArray<float> finished_score;
  DeviceArray<std::int32_t> finished_tokens;
  DeviceArray<float> finished_scores;
  DeviceArray<SentenceLimits> limits;
  BeamArgs args;
};

// The hypothesis of `row` that ends in this step has to be number `place` of the finished ones.
void verify_finished(const BeamCase& c, DeviceBeam& found, int row, int place, float score) {
  EXPECT_EQ(found.length.data()[place], c.step + 1);
  EXPECT_NEAR(found.finished_score.data()[place], score, 1e-5);
  for (int t = 0; t < c.step; ++t) {
    const int slot = c.ancestors[usize(row * kStride + t + 1)];
    const std::size_t from = usize((t + 1) * c.rows() + slot);
    EXPECT_EQ(found.finished_tokens.data()[place * kStride + t], c.history[from]) << t;
    EXPECT_EQ(found.finished_scores.data()[place * kStride + t], c.history_scores[from]) << t;
  }
  EXPECT_EQ(found.finished_tokens.data()[place * kStride + c.step], c.rules.eos);
  EXPECT_NEAR(found.finished_scores.data()[place * kStride + c.step], score, 1e-5);
  EXPECT_EQ(found.finished_tokens.data()[place * kStride + c.step + 1], -1) << "left alone";
}

void verify_survivors(const BeamCase& c, DeviceBeam& found, int group,
                      const std::vector<Candidate>& best, const std::vector<search::Fate>& fates) {
  std::vector<std::int64_t> chosen(usize(c.beam));
  std::vector<std::uint8_t> dead(usize(c.beam));
  search::choose_survivors(fates, chosen, dead);
  for (int b = 0; b < c.beam; ++b) {
    const Candidate& wanted = best[usize(chosen[usize(b)])];
    const int place = group * c.beam + b;
    EXPECT_EQ(found.parents.data()[place], group * c.group_rows + wanted.row) << "place " << b;
    EXPECT_EQ(found.tokens.data()[place], wanted.token) << "place " << b;
    EXPECT_EQ(found.to_dead.data()[place], dead[usize(b)]) << "place " << b;
    const float score = found.to_scores.data()[place];
    if (wanted.score == kImpossible) {
      EXPECT_EQ(score, kImpossible);
    } else {
      EXPECT_NEAR(score, wanted.score, 1e-5);
    }
  }
}

void check_beam_step(const BeamCase& c) {
  DeviceBeam found(c);
  // One block more than there are groups.
  under_test::search_kernels().beam_step[list_index(c.beam)](
      found.args, {c.groups + 1, 1, 1, 32, beam_shared_bytes(c.beam)});
  std::vector<std::int32_t> counts = c.counts;
  for (int group = 0; group < c.groups; ++group) {
    const std::vector<Candidate> best = c.best(group);
    std::vector<search::Fate> fates;
    const auto dead = c.dead.begin() + group * c.beam;
    search::decide_fates(best, c.rules.eos, std::vector<std::uint8_t>(dead, dead + c.beam), fates);
    const int sentence = c.sentence_of[usize(group)];
    std::int32_t& finished = counts[usize(sentence)];
    for (std::size_t k = 0; k < best.size(); ++k) {
      if (fates[k] != search::Fate::kFinishes || finished >= c.beam) continue;
      verify_finished(c, found, group * c.group_rows + static_cast<int>(best[k].row),
                      sentence * c.beam + finished, best[k].score);
      ++finished;
    }
    const bool live = finished < c.beam && c.step < c.max_len;
    EXPECT_EQ(found.live.data()[group], live ? 1 : 0);
    EXPECT_EQ(found.sentences.data()[group], sentence);
    if (live) verify_survivors(c, found, group, best, fates);
  }
  EXPECT_EQ(found.count.host(), counts);
}

TEST(BeamStepKernel, DecidesAsTheCpuDoes) {
  std::mt19937 random(35);
  for (int i = 0; i < 400 && !HasFailure(); ++i) {
    under_test::set_schedule(i % 6);
    check_beam_step(BeamCase(random, i));
    under_test::set_schedule(0);
    if (HasFailure()) ADD_FAILURE() << "case " << i;
  }
}

// NaN is as impossible as -inf: fairseq takes it for -inf.
TEST(BeamStepKernel, NotANumberIsImpossible) {
  std::mt19937 random(36);
  BeamCase c(random, 1);
  for (std::size_t i = 0; i < c.values.size(); i += 3) {
    if (c.candidates[i] != kNoToken) c.values[i] = kImpossible;
  }
  BeamCase with_nan = c;
  for (std::size_t i = 0; i < c.values.size(); i += 3) {
    if (c.candidates[i] != kNoToken) with_nan.values[i] = std::nanf("");
  }
  DeviceBeam wanted(c), found(with_nan);
  for (DeviceBeam* each : {&wanted, &found}) {
    under_test::search_kernels().beam_step[list_index(c.beam)](
        each->args, {c.groups, 1, 1, 32, beam_shared_bytes(c.beam)});
  }
  EXPECT_EQ(found.tokens.host(), wanted.tokens.host());
  EXPECT_EQ(found.count.host(), wanted.count.host());
}

}  // namespace
}  // namespace elbeam::kernels
