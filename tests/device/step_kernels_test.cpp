// The kernels around attention on the device under test: embedding, the cache's slots, and what the
// search does with the rows between two steps.
#include "base/checked_math.hpp"
#include "device/device_array.hpp"
#include "kernels/launch_plan.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>

namespace elbeam::kernels {
namespace {

template <typename T>
double number(const std::vector<T>& from, std::int64_t place) {
  return static_cast<double>(to_float(from[usize(place)]));
}

template <typename T>
void check_embed(std::mt19937& random, int i) {
  const int rows = random_int(random, 1, 4);
  const int dim = random_int(random, 1, 300);
  const int vocab = 20;
  const int positions = 9;
  const int step = random_int(random, 0, positions - 1);
  const int threads = 32 * random_int(random, 1, 4);
  const bool by_row = i % 3 == 0;  // the encoder's way
  const bool behind = i % 3 == 1;  // prompts of several lengths
  const bool placed = i % 4 != 0;
  const bool normalised = i % 2 == 0;
  std::vector<std::int32_t> tokens, places;
  for (int r = 0; r < rows; ++r) {
    tokens.push_back(random_int(random, 0, vocab - 1));
    places.push_back(by_row   ? random_int(random, 0, positions - 1)
                     : behind ? random_int(random, 0, positions - 1 - step)
                              : 0);
  }
  const auto table = random_numbers<T>(random, usize(vocab * dim));
  const auto place_table = random_numbers<T>(random, usize(positions * dim));
  const auto gain = random_numbers<T>(random, usize(dim));
  const auto bias = random_numbers<T>(random, usize(dim));
  DeviceArray<std::int32_t> dtokens(tokens), dplaces(places);
  DeviceArray<StepState> state(std::vector<StepState>{{step, rows, rows, 1}});
  DeviceArray<T> dtable(table), dplace_table(place_table), dgain(gain), dbias(bias);
  DeviceArray<T> out(usize(rows * dim));
  EmbedArgs<T> args;
  args.tokens = dtokens.data();
  args.position_of = by_row || behind ? dplaces.data() : nullptr;
  args.state = by_row ? nullptr : state.data();
  args.token_table = dtable.data();
  args.position_table = placed ? dplace_table.data() : nullptr;
  args.gain = normalised ? dgain.data() : nullptr;
  args.bias = dbias.data();
  args.x = out.data();
  args.rows = rows;
  args.dim = dim;
  args.scale = 1.7F;
  under_test::set_schedule(i % 6);
  // One block more than there are rows, where the state says how many those are.
  under_test::kernels<T>().embed(
      args, {by_row ? rows : rows + 1, 1, 1, threads, row_shared_bytes(dim, threads)});
  under_test::set_schedule(0);
  const std::vector<T> found = out.host();
  for (int r = 0; r < rows; ++r) {
    const int position = places[usize(r)] + (by_row ? 0 : step);
    std::vector<double> row;
    double mean = 0.0;
    double variance = 0.0;
    for (int c = 0; c < dim; ++c) {
      row.push_back(static_cast<double>(args.scale) * number(table, tokens[usize(r)] * dim + c) +
                    (placed ? number(place_table, position * dim + c) : 0.0));
      mean += row.back() / dim;
    }
    for (const double value : row) variance += (value - mean) * (value - mean) / dim;
    for (int c = 0; c < dim; ++c) {
      const double wanted =
          normalised ? (row[usize(c)] - mean) / std::sqrt(variance + 1e-5) * number(gain, c) +
                           number(bias, c)
                     : row[usize(c)];
      expect_close(found[usize(r * dim + c)], wanted, 4.0, "embedding");
    }
  }
  expect_small_error();
}

TEST(EmbedKernel, AgreesWithDoublePrecision) {
  std::mt19937 random(31);
  for (int i = 0; i < 120 && !HasFailure(); ++i) {
    if (i % 5 < 2) {
      check_embed<float>(random, i);
    } else if (i % 5 < 4) {
      check_embed<Half>(random, i);
    } else {
      check_embed<BFloat16>(random, i);
    }
  }
}

// Slots of two pages with three layers each; nothing but the step's slots of one layer changes.
template <typename T>
void check_store(std::mt19937& random, int step) {
  const int rows = random_int(random, 1, 5);
  const int width = random_int(random, 1, 90);
  const int stride = width + random_int(random, 0, 7);
  const int first = random_int(random, 0, stride - width);
  const std::vector<std::int64_t> page_rows = {rows + 2, rows};
  const std::int64_t slot_width = 3 * width;
  const auto x = random_numbers<T>(random, usize(rows * stride));
  DeviceArray<T> dx(x), pages[2] = {DeviceArray<T>(usize(page_rows[0] * kPageSteps * slot_width)),
                                    DeviceArray<T>(usize(page_rows[1] * kPageSteps * slot_width))};
  DeviceArray<CachePage<T>> table(
      std::vector<CachePage<T>>{{pages[0].data(), page_rows[0]}, {pages[1].data(), page_rows[1]}});
  DeviceArray<StepState> state(std::vector<StepState>{{step, rows, rows, 1}});
  StoreArgs<T> args;
  args.state = state.data();
  args.cache.pages = table.data();
  args.cache.slot_width = slot_width;
  args.cache.layer_offset = width;
  args.x = dx.data();
  args.x_stride = stride;
  args.first_column = first;
  args.width = width;
  under_test::kernels<T>().store(args, {rows + 1, 1, 1, 64, 0});
  for (int page = 0; page < 2; ++page) {
    const std::vector<T> found = pages[page].host();
    std::vector<T> wanted(found.size());
    std::memset(wanted.data(), 0xff, wanted.size() * sizeof(T));
    if (page == step / kPageSteps) {
      for (int r = 0; r < rows; ++r) {
        const std::int64_t slot = step % kPageSteps * page_rows[usize(page)] + r;
        std::copy_n(x.begin() + r * stride + first, width,
                    wanted.begin() + slot * slot_width + width);
      }
    }
    EXPECT_EQ(std::memcmp(found.data(), wanted.data(), found.size() * sizeof(T)), 0)
        << "page " << page << " of step " << step;
  }
}

TEST(StoreKernel, WritesTheStepsSlotsAndNothingElse) {
  std::mt19937 random(32);
  for (int i = 0; i < 60 && !HasFailure(); ++i) {
    check_store<float>(random, i % 32);
    check_store<Half>(random, (i + 15) % 32);
  }
}

TEST(AdvanceKernel, RowsContinueTheirParents) {
  std::mt19937 random(33);
  for (int i = 0; i < 60 && !HasFailure(); ++i) {
    const int rows = random_int(random, 1, 9);
    const int stride = 160;
    const int step = random_int(random, 0, i % 3 == 0 ? 150 : 40);
    std::vector<std::int32_t> parents, before(usize((rows + 1) * stride));
    for (int r = 0; r <= rows; ++r) parents.push_back(random_int(random, 0, rows - 1));
    for (auto& slot : before) slot = random_int(random, 0, 99);
    DeviceArray<std::int32_t> dparents(parents), from(before), to(before.size());
    DeviceArray<StepState> state(std::vector<StepState>{{step, rows, rows, 1}});
    AdvanceArgs args;
    args.state = state.data();
    args.parents = dparents.data();
    args.ancestors[step % 2] = to.data();
    args.ancestors[(step + 1) % 2] = from.data();
    args.ancestor_stride = stride;
    under_test::set_schedule(i % 6);
    under_test::search_kernels().advance(args, {rows + 1, 1, 1, 64, 0});
    under_test::set_schedule(0);
    std::vector<std::int32_t> wanted(before.size(), -1);
    for (int r = 0; r < rows; ++r) {
      std::copy_n(before.begin() + parents[usize(r)] * stride, step, wanted.begin() + r * stride);
      wanted[usize(r * stride + step)] = r;
    }
    EXPECT_EQ(to.host(), wanted) << "step " << step;
    EXPECT_EQ(from.host(), before);
  }
}

// Survivors of `groups` sentences, some of which have finished.
struct CompactCase {
  int groups;
  int beam;
  int sentences;
  std::vector<std::int32_t> live, sentence_of, parents, tokens, dead, parts_of, prompts;
  std::vector<float> scores;

  CompactCase(std::mt19937& random, int i)
      : groups(random_int(random, 1, i % 3 == 0 ? 100 : 12)),
        beam(random_int(random, 1, 5)),
        sentences(groups + random_int(random, 0, 3)) {
    std::vector<std::int32_t> all(usize(sentences));
    std::iota(all.begin(), all.end(), 0);
    std::shuffle(all.begin(), all.end(), random);
    sentence_of.assign(all.begin(), all.begin() + groups);
    for (int s = 0; s < sentences; ++s) {
      parts_of.push_back(random_int(random, 1, 9));
      prompts.push_back(random_int(random, 0, 30));
    }
    for (int g = 0; g < groups; ++g) live.push_back(random_int(random, 0, 3) == 0 ? 0 : 1);
    for (int r = 0; r < groups * beam; ++r) {
      parents.push_back(random_int(random, 0, groups * beam - 1));
      tokens.push_back(random_int(random, 4, 500));
      dead.push_back(random_int(random, 0, 1));
      scores.push_back(static_cast<float>(random_int(random, -99, 0)));
    }
  }
};

void check_compact(const CompactCase& c, int step) {
  const std::size_t rows = c.tokens.size();
  DeviceArray<StepState> state(std::vector<StepState>{{step, c.groups, c.groups * c.beam, c.beam}});
  DeviceArray<std::int32_t> live(c.live), sentences(c.sentence_of), parents(c.parents),
      tokens(c.tokens), dead(c.dead), parts_of(c.parts_of);
  DeviceArray<float> scores(c.scores);
  DeviceArray<std::int32_t> history(rows * 8), to_tokens(rows), to_parents(rows), to_dead(rows),
      sentence_of(c.sentence_of.size()), parts_of_row(rows), self_parts_of_row(rows),
      prompt_of_row(rows), places(c.sentence_of.size()), prompts(c.prompts);
  DeviceArray<float> history_scores(rows * 8), to_scores(rows);
  DeviceArray<RowRange> rows_of(usize(c.sentences));
  CompactArgs args;
  args.state = state.data();
  args.survivors = {live.data(),   sentences.data(), parents.data(),
                    tokens.data(), scores.data(),    dead.data()};
  args.history.tokens = history.data();
  args.history.scores = history_scores.data();
  args.history.rows = ssize(rows);
  args.tokens = to_tokens.data();
  args.parents = to_parents.data();
  args.scores = to_scores.data();
  args.dead = to_dead.data();
  args.sentence_of = sentence_of.data();
  args.rows_of = rows_of.data();
  args.parts_of_row = parts_of_row.data();
  args.parts_of = parts_of.data();
  const bool prompted = step % 2 == 0;
  if (prompted) {
    args.self_parts_of_row = self_parts_of_row.data();
    args.self_parts_of = parts_of.data();
    args.prompt_of_row = prompt_of_row.data();
    args.prompt_of = prompts.data();
  }
  args.places = places.data();
  args.beam = c.beam;
  under_test::search_kernels().compact(args, {1, 1, 1, 256, 4});
  // A value of -1 is what the kernel has to leave alone.
  std::vector<std::int32_t> w_tokens(rows, -1), w_parents(rows, -1), w_dead(rows, -1),
      w_parts(rows, -1), w_self_parts(rows, -1), w_prompts(rows, -1), w_history(rows * 8, -1),
      w_sentences(c.sentence_of.size(), -1);
  int place = 0;
  const auto found_rows_of = rows_of.host();
  for (int g = 0; g < c.groups; ++g) {
    const int sentence = c.sentence_of[usize(g)];
    const RowRange& range = found_rows_of[usize(sentence)];
    EXPECT_EQ(range.count, c.live[usize(g)] != 0 ? c.beam : 0);
    if (c.live[usize(g)] == 0) continue;
    EXPECT_EQ(range.first, place * c.beam);
    w_sentences[usize(place)] = sentence;
    for (int b = 0; b < c.beam; ++b) {
      const std::size_t from = usize(g * c.beam + b);
      const std::size_t to = usize(place * c.beam + b);
      w_tokens[to] = w_history[usize(step + 1) * rows + to] = c.tokens[from];
      w_parents[to] = c.parents[from];
      w_dead[to] = c.dead[from];
      w_parts[to] = c.parts_of[usize(sentence)];
      if (prompted) {
        w_self_parts[to] = c.parts_of[usize(sentence)];
        w_prompts[to] = c.prompts[usize(sentence)];
      }
      EXPECT_EQ(to_scores.data()[to], c.scores[from]);
      EXPECT_EQ(history_scores.data()[usize(step + 1) * rows + to], c.scores[from]);
    }
    ++place;
  }
  EXPECT_EQ(to_tokens.host(), w_tokens);
  EXPECT_EQ(to_parents.host(), w_parents);
  EXPECT_EQ(to_dead.host(), w_dead);
  EXPECT_EQ(parts_of_row.host(), w_parts);
  EXPECT_EQ(self_parts_of_row.host(), w_self_parts);
  EXPECT_EQ(prompt_of_row.host(), w_prompts);
  EXPECT_EQ(history.host(), w_history);
  EXPECT_EQ(sentence_of.host(), w_sentences);
  const StepState next = state.host()[0];
  EXPECT_EQ(next.step, step + 1);
  EXPECT_EQ(next.groups, place);
  EXPECT_EQ(next.rows, place * c.beam);
  EXPECT_EQ(next.group_rows, c.beam);
}

TEST(CompactKernel, MovesLiveSentencesTogether) {
  std::mt19937 random(34);
  for (int i = 0; i < 80 && !HasFailure(); ++i) {
    under_test::set_schedule(i % 6);
    check_compact(CompactCase(random, i), random_int(random, 0, 6));
    under_test::set_schedule(0);
  }
}

}  // namespace
}  // namespace elbeam::kernels
