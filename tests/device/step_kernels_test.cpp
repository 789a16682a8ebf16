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
  // Rows of sentences that began in different steps, at slots of their own.
  constexpr int kStep = 40;
  constexpr int kStride = 48;
  std::vector<std::int32_t> slots(usize(rows)), first_of_row, ancestors(usize(rows * kStride), -1);
  std::iota(slots.rbegin(), slots.rend(), 0);
  for (int r = 0; r < rows; ++r) {
    first_of_row.push_back(kStep - (r % 2 == 0 ? step : 31 - step));
    ancestors[usize(r * kStride + kStep - first_of_row.back())] = slots[usize(r)];
  }
  DeviceArray<std::int32_t> dfirst(first_of_row), dancestors(ancestors);
  DeviceArray<StepState> state(std::vector<StepState>{{kStep, rows, rows, 1}});
  StoreArgs<T> args;
  args.state = state.data();
  args.cache.pages = table.data();
  args.cache.ancestors[kStep % 2] = dancestors.data();
  args.cache.ancestor_stride = kStride;
  args.cache.first_of_row = dfirst.data();
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
    for (int r = 0; r < rows; ++r) {
      const int own = kStep - first_of_row[usize(r)];
      if (page != own / kPageSteps) continue;
      const std::int64_t slot = own % kPageSteps * page_rows[usize(page)] + slots[usize(r)];
      std::copy_n(x.begin() + r * stride + first, width,
                  wanted.begin() + slot * slot_width + width);
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
    std::vector<std::int32_t> parents, first_of_row, slots, before(usize((rows + 1) * stride));
    for (int r = 0; r <= rows; ++r) {
      parents.push_back(random_int(random, 0, rows - 1));
      first_of_row.push_back(random_int(random, 0, step));
      slots.push_back(random_int(random, 100, 199));
    }
    for (auto& slot : before) slot = random_int(random, 0, 99);
    DeviceArray<std::int32_t> dparents(parents), from(before), to(before.size()),
        dfirst(first_of_row), dslots(slots);
    DeviceArray<StepState> state(std::vector<StepState>{{step, rows, rows, 1}});
    AdvanceArgs args;
    args.state = state.data();
    args.parents = dparents.data();
    args.ancestors[step % 2] = to.data();
    args.ancestors[(step + 1) % 2] = from.data();
    args.ancestor_stride = stride;
    args.first_of_row = dfirst.data();
    args.slot_of_row = dslots.data();
    under_test::set_schedule(i % 6);
    under_test::search_kernels().advance(args, {rows + 1, 1, 1, 64, 0});
    under_test::set_schedule(0);
    std::vector<std::int32_t> wanted(before.size(), -1);
    for (int r = 0; r < rows; ++r) {
      const int own = step - first_of_row[usize(r)];
      std::copy_n(before.begin() + parents[usize(r)] * stride, own, wanted.begin() + r * stride);
      wanted[usize(r * stride + own)] = slots[usize(r)];
    }
    EXPECT_EQ(to.host(), wanted) << "step " << step;
    EXPECT_EQ(from.host(), before);
  }
}

// What the next step's rows are to be, and a place for what a kernel makes of them: -1 is what it
// has to leave alone.
struct Rows {
  static constexpr int kSteps = 12;
  std::vector<std::int32_t> tokens, parents, dead, position, first, slot, parts, self_parts,
      history, sentence_of;
  std::vector<float> scores, history_scores;
  std::vector<RowRange> rows_of;

  Rows(int groups, int beam, int places)
      : tokens(usize(groups * beam), -1),
        parents(tokens),
        dead(tokens),
        position(tokens),
        first(tokens),
        slot(tokens),
        parts(tokens),
        self_parts(tokens),
        history(usize(places * beam * kSteps), -1),
        sentence_of(usize(groups), -1),
        scores(tokens.size(), -1.0F),
        history_scores(history.size(), -1.0F),
        rows_of(usize(places), {-1, -1}) {}

  // Row `row` is place b of the sentence's beam in the run's step `step`.
  void set(std::size_t row, int sentence, int b, const SentenceLimits& limits, int step) {
    const int beam = static_cast<int>(history.size()) / kSteps / static_cast<int>(rows_of.size());
    position[row] = limits.prompt - limits.first_step;
    first[row] = limits.first_step;
    slot[row] = sentence * beam + b;
    const int own = step - limits.first_step;
    const std::size_t entry = usize(own) * rows_of.size() * usize(beam) + usize(slot[row]);
    history[entry] = tokens[row];
    history_scores[entry] = scores[row];
  }
};

struct DeviceRows {
  DeviceRows(const Rows& rows, const std::vector<std::int32_t>& parts_of,
             const std::vector<SentenceLimits>& limits_of, int beam)
      : tokens(rows.tokens),
        parents(rows.parents),
        dead(rows.dead),
        position(rows.position),
        first(rows.first),
        slot(rows.slot),
        parts(rows.parts),
        self_parts(rows.self_parts),
        history(rows.history),
        sentence_of(rows.sentence_of),
        parts_of_place(parts_of),
        scores(rows.scores),
        history_scores(rows.history_scores),
        rows_of(rows.rows_of),
        limits(limits_of) {
    args.tokens = tokens.data();
    args.parents = parents.data();
    args.scores = scores.data();
    args.dead = dead.data();
    args.sentence_of = sentence_of.data();
    args.rows_of = rows_of.data();
    args.position_of_row = position.data();
    args.first_of_row = first.data();
    args.slot_of_row = slot.data();
    args.parts_of_row = parts.data();
    args.parts_of = parts_of_place.data();
    args.limits = limits.data();
    args.history.tokens = history.data();
    args.history.scores = history_scores.data();
    args.history.slots = ssize(rows.rows_of.size()) * beam;
    args.beam = beam;
  }
  void read_prompts() {
    args.self_parts_of_row = self_parts.data();
    args.self_parts_of = parts_of_place.data();
  }
  void expect(const Rows& wanted) const {
    EXPECT_EQ(tokens.host(), wanted.tokens);
    EXPECT_EQ(parents.host(), wanted.parents);
    EXPECT_EQ(dead.host(), wanted.dead);
    EXPECT_EQ(position.host(), wanted.position);
    EXPECT_EQ(first.host(), wanted.first);
    EXPECT_EQ(slot.host(), wanted.slot);
    EXPECT_EQ(parts.host(), wanted.parts);
    EXPECT_EQ(self_parts.host(), wanted.self_parts);
    EXPECT_EQ(history.host(), wanted.history);
    EXPECT_EQ(sentence_of.host(), wanted.sentence_of);
    EXPECT_EQ(scores.host(), wanted.scores);
    EXPECT_EQ(history_scores.host(), wanted.history_scores);
    const auto found = rows_of.host();
    for (std::size_t s = 0; s < found.size(); ++s) {
      EXPECT_EQ(found[s].first, wanted.rows_of[s].first) << "place " << s;
      EXPECT_EQ(found[s].count, wanted.rows_of[s].count) << "place " << s;
    }
  }

  DeviceArray<std::int32_t> tokens, parents, dead, position, first, slot, parts, self_parts,
      history, sentence_of, parts_of_place;
  DeviceArray<float> scores, history_scores;
  DeviceArray<RowRange> rows_of;
  DeviceArray<SentenceLimits> limits;
  NextRows args;
};

// `groups` sentences in some of the places, which began in different steps.
struct GroupsCase {
  int groups;
  int beam;
  int places;
  int step;
  std::vector<std::int32_t> sentence_of, parts_of;
  std::vector<SentenceLimits> limits;

  GroupsCase(std::mt19937& random, int most_groups)
      : groups(random_int(random, 1, most_groups)),
        beam(random_int(random, 1, 5)),
        places(groups + random_int(random, 0, 3)),
        step(random_int(random, 0, 9)) {
    std::vector<std::int32_t> all(usize(places));
    std::iota(all.begin(), all.end(), 0);
    std::shuffle(all.begin(), all.end(), random);
    sentence_of.assign(all.begin(), all.begin() + groups);
    for (int s = 0; s < places; ++s) {
      parts_of.push_back(random_int(random, 1, 9));
      limits.push_back({random_int(random, 0, 30), 0, 99, random_int(random, 0, step)});
    }
  }
};

void check_compact(std::mt19937& random, int i) {
  const GroupsCase c(random, i % 3 == 0 ? 100 : 12);
  std::vector<std::int32_t> live, parents, tokens, dead;
  std::vector<float> scores;
  for (int g = 0; g < c.groups; ++g) live.push_back(random_int(random, 0, 3) == 0 ? 0 : 1);
  for (int r = 0; r < c.groups * c.beam; ++r) {
    parents.push_back(random_int(random, 0, c.groups * c.beam - 1));
    tokens.push_back(random_int(random, 4, 500));
    dead.push_back(random_int(random, 0, 1));
    scores.push_back(static_cast<float>(random_int(random, -99, 0)));
  }
  const bool prompted = i % 2 == 0;
  Rows wanted(c.groups, c.beam, c.places);
  DeviceRows found(wanted, c.parts_of, c.limits, c.beam);
  if (prompted) found.read_prompts();
  DeviceArray<StepState> state(
      std::vector<StepState>{{c.step, c.groups, c.groups * c.beam, c.beam}});
  DeviceArray<std::int32_t> dlive(live), sentences(c.sentence_of), dparents(parents),
      dtokens(tokens), ddead(dead), scratch(usize(c.groups));
  DeviceArray<float> dscores(scores);
  under_test::search_kernels().compact({state.data(),
                                        {dlive.data(), sentences.data(), dparents.data(),
                                         dtokens.data(), dscores.data(), ddead.data()},
                                        found.args,
                                        scratch.data()},
                                       {1, 1, 1, 256, 4});
  int place = 0;
  for (int g = 0; g < c.groups; ++g) {
    const int sentence = c.sentence_of[usize(g)];
    const bool goes_on = live[usize(g)] != 0;
    wanted.rows_of[usize(sentence)] = goes_on ? RowRange{place * c.beam, c.beam} : RowRange{0, 0};
    if (!goes_on) continue;
    wanted.sentence_of[usize(place)] = sentence;
    for (int b = 0; b < c.beam; ++b) {
      const std::size_t from = usize(g * c.beam + b);
      const std::size_t to = usize(place * c.beam + b);
      wanted.tokens[to] = tokens[from];
      wanted.parents[to] = parents[from];
      wanted.dead[to] = dead[from];
      wanted.scores[to] = scores[from];
      wanted.parts[to] = c.parts_of[usize(sentence)];
      if (prompted) wanted.self_parts[to] = c.parts_of[usize(sentence)];
      wanted.set(to, sentence, b, c.limits[usize(sentence)], c.step + 1);
    }
    ++place;
  }
  found.expect(wanted);
  const StepState next = state.host()[0];
  EXPECT_EQ(next.step, c.step + 1);
  EXPECT_EQ(next.groups, place);
  EXPECT_EQ(next.rows, place * c.beam);
  EXPECT_EQ(next.group_rows, c.beam);
}

// The last groups are new ones: what lies before them stays as it is.
void check_admit(std::mt19937& random, int i) {
  GroupsCase c(random, i % 3 == 0 ? 100 : 12);
  const int running = random_int(random, 0, c.groups - 1);
  const int group_rows = running == 0 && i % 2 == 0 ? 1 : c.beam;
  std::vector<std::int32_t> admitted(c.sentence_of.begin() + running, c.sentence_of.end());
  std::vector<std::int32_t> first_tokens, counts(usize(c.places), 7);
  std::vector<float> start_scores;
  for (int s = 0; s < c.places; ++s) {
    first_tokens.push_back(random_int(random, 4, 500));
    start_scores.push_back(static_cast<float>(random_int(random, -99, 0)));
  }
  for (const std::int32_t sentence : admitted) c.limits[usize(sentence)].first_step = c.step;
  Rows wanted(c.groups, c.beam, c.places);
  DeviceRows found(wanted, c.parts_of, c.limits, c.beam);
  if (i % 4 == 0) found.read_prompts();
  DeviceArray<StepState> state(
      std::vector<StepState>{{c.step, running, running * group_rows, group_rows}});
  DeviceArray<std::int32_t> dadmitted(admitted), dtokens(first_tokens), dcounts(counts);
  DeviceArray<float> dscores(start_scores);
  under_test::search_kernels().admit(
      {state.data(), found.args, dadmitted.data(), c.groups - running, dtokens.data(),
       dscores.data(), dcounts.data()},
      {1, 1, 1, 256, 0});
  for (int g = running; g < c.groups; ++g) {
    const int sentence = c.sentence_of[usize(g)];
    wanted.rows_of[usize(sentence)] = {g * group_rows, group_rows};
    wanted.sentence_of[usize(g)] = sentence;
    counts[usize(sentence)] = 0;
    for (int b = 0; b < c.beam; ++b) wanted.dead[usize(g * c.beam + b)] = 0;
    for (int b = 0; b < group_rows; ++b) {
      const std::size_t row = usize(g * group_rows + b);
      wanted.tokens[row] = first_tokens[usize(sentence)];
      wanted.parents[row] = static_cast<int>(row);
      wanted.scores[row] = start_scores[usize(sentence)];
      wanted.parts[row] = c.parts_of[usize(sentence)];
      if (i % 4 == 0) wanted.self_parts[row] = c.parts_of[usize(sentence)];
      wanted.set(row, sentence, b, c.limits[usize(sentence)], c.step);
    }
  }
  found.expect(wanted);
  EXPECT_EQ(dcounts.host(), counts);
  const StepState next = state.host()[0];
  EXPECT_EQ(next.step, c.step);
  EXPECT_EQ(next.groups, c.groups);
  EXPECT_EQ(next.rows, c.groups * group_rows);
  EXPECT_EQ(next.group_rows, group_rows);
}

TEST(CompactKernel, MovesLiveSentencesTogether) {
  std::mt19937 random(34);
  for (int i = 0; i < 80 && !HasFailure(); ++i) {
    under_test::set_schedule(i % 6);
    check_compact(random, i);
    under_test::set_schedule(0);
  }
}

TEST(AdmitKernel, PutsSentencesBehindThoseThatRun) {
  std::mt19937 random(37);
  for (int i = 0; i < 80 && !HasFailure(); ++i) {
    under_test::set_schedule(i % 6);
    check_admit(random, i);
    under_test::set_schedule(0);
  }
}

}  // namespace
}  // namespace elbeam::kernels
