// Beam search on the device: n-gram blocking, the step of the beam, and the rows that go on.
#pragma once

#include "kernels/core/vocabulary.hpp"

namespace elbeam::kernels {

// The slot of a step of the row's sentence.
ELBEAM_DEVICE std::int32_t ancestor(const History& history, const StepState& state,
                                    std::int64_t row, int step) {
  return history.ancestors[state.step % 2][row * history.ancestor_stride + step];
}

struct BanRepeatedNgrams {
  using Args = NgramArgs;
  static constexpr const char* kName = "ban_repeated_ngrams";
  static constexpr int kMaxThreads = 256;
  static constexpr int kMinBlocks = 4;

  // Shared memory: the tokens of the row's hypothesis, the one that it starts from included.
  static ELBEAM_DEVICE void run(const Args& args) {
    const StepState state = *args.state;
    const int row = block_x();
    if (row >= state.rows) return;
    auto* tokens = reinterpret_cast<std::int32_t*>(shared_memory());
    const int group = row / state.group_rows;
    const Place place = place_of(args.rules, state, group);
    const int length = place.length + 1;
    for (int t = thread_index(); t < length; t += thread_count()) {
      const int step = t - place.prompt();
      tokens[t] =
          step < 0
              ? args.prompts[args.prompt_offsets[args.rules.sentence_of[group]] + t]
              : args.history
                    .tokens[step * args.history.slots + ancestor(args.history, state, row, step)];
    }
    block_barrier();
    // With n = 1 the start token may come again: it is the end of the sentence.
    const int begin = args.size == 1 ? 1 : 0;
    const int last = length - (args.size - 1);  // of the n - 1 tokens that the next one follows
    for (int i = thread_index(); i < length; i += thread_count()) {
      bool repeats = i >= begin && i < last;
      for (int k = 0; repeats && k + 1 < args.size; ++k)
        repeats = tokens[i + k] == tokens[last + k];
      args.banned[row * args.banned_stride + i] = repeats ? tokens[i + args.size - 1] : -1;
    }
  }
};

template <int kPlaces>
struct BeamStep {
  using Args = BeamArgs;
  static constexpr const char* kName = "beam_step";
  static constexpr int kMaxThreads = kWarp;
  static constexpr int kMinBlocks = 4;

  static ELBEAM_DEVICE void run(const Args& args) {
    const StepState state = *args.state;
    if (block_x() >= state.groups) return;
    const Group group = group_of(args, state, block_x());
    const Scratch scratch = scratch_of(args.beam);
    if (args.drawn_tokens != nullptr) {
      take_drawn(args, group, scratch);
    } else {
      take_best(args, group, scratch);
    }
    const int before = args.finished.count[group.sentence];
    warp_barrier();  // every lane has put its candidates and has read the count
    if (lane_index() == 0) decide(args, group, before, scratch);
    warp_barrier();
    const int now = args.finished.count[group.sentence];
    for (int k = before; k < now; ++k) {
      copy_history(args, state, group.first_row + scratch.ended[k - before],
                   group.sentence * args.beam + k, group.place.steps);
    }
  }

 private:
  struct Group {
    int number;
    std::int64_t first_row;
    int rows;  // that count
    int sentence;
    Place place;
  };
  struct Scratch {
    float* maxima;      // [beam] of the rows' log-sum-exp
    float* logarithms;  // [beam]
    float* scores;      // [2 * beam] the candidates
    int* keys;          // [2 * beam] row * vocab + token
    int* ended;         // [beam] rows of the hypotheses that end now
    int* chosen;        // [beam] candidates that go on
    int* dead;          // [beam]
  };

  static ELBEAM_DEVICE Group group_of(const Args& args, const StepState& state, int number) {
    const Place place = place_of(args.rules, state, number);
    return {number, static_cast<std::int64_t>(number) * state.group_rows,
            place.steps == 0 ? 1 : state.group_rows, args.rules.sentence_of[number], place};
  }

  // One candidate for each place of the beam.
  static ELBEAM_DEVICE void take_drawn(const Args& args, const Group& group,
                                       const Scratch& scratch) {
    for (int b = lane_index(); b < 2 * args.beam; b += kWarp) {
      const int r = b < group.rows ? b : 0;
      const int place = group.number * args.beam + b;
      scratch.keys[b] = b < args.beam ? r * args.vocab + args.drawn_tokens[place] : kNoToken;
      scratch.scores[b] = b < args.beam
                              ? args.scores[group.first_row + r] + args.drawn_log_probs[place]
                              : negative_infinity();
    }
  }

  static ELBEAM_DEVICE void take_best(const Args& args, const Group& group,
                                      const Scratch& scratch) {
    normalisers(args, group, scratch);
    warp_barrier();
    TopList<kPlaces> list;
    list.clear(2 * args.beam);
    const int entries = group.rows * args.parts * 2 * args.beam;
    for (int first = 0; first < entries; first += kWarp) {
      const int i = first + lane_index();
      list.offer(i < entries ? candidate(args, group, i, scratch) : TopList<kPlaces>::nothing());
    }
    list.for_each([&](int place, std::uint64_t entry) {
      scratch.scores[place] = entry_value(entry);
      scratch.keys[place] = entry_key(entry);
    });
  }

  static ELBEAM_DEVICE Scratch scratch_of(int beam) {
    auto* floats = reinterpret_cast<float*>(shared_memory());
    auto* keys = reinterpret_cast<int*>(floats + 4 * beam);
    return {floats,          floats + beam,   floats + 2 * beam, keys,
            keys + 2 * beam, keys + 3 * beam, keys + 4 * beam};
  }

  static ELBEAM_DEVICE void normalisers(const Args& args, const Group& group,
                                        const Scratch& scratch) {
    for (int r = lane_index(); r < group.rows; r += kWarp) {
      LogSum sum;
      sum.clear();
      for (int p = 0; p < args.parts; ++p) {
        const std::int64_t place = 2 * ((group.first_row + r) * args.parts + p);
        sum.add(args.stats[place], args.stats[place + 1]);
      }
      scratch.maxima[r] = sum.maximum;
      scratch.logarithms[r] = logf(sum.total);
    }
  }

  static ELBEAM_DEVICE std::uint64_t candidate(const Args& args, const Group& group, int i,
                                               const Scratch& scratch) {
    const int per_row = args.parts * 2 * args.beam;
    const int r = i / per_row;
    const std::int64_t row = group.first_row + r;
    const std::int64_t place = row * per_row + i % per_row;
    const int token = args.candidates[place];
    if (token == kNoToken) return TopList<kPlaces>::nothing();
    float log_prob = args.values[place] - scratch.maxima[r] - scratch.logarithms[r];
    if (log_prob != log_prob) log_prob = negative_infinity();
    if (token == args.rules.unk) log_prob -= args.rules.unk_penalty;
    return rank_entry(args.scores[row] + log_prob, r * args.vocab + token);
  }

  // search/beam_step.cpp decide_fates() and choose_survivors(), by one lane.
  static ELBEAM_DEVICE void decide(const Args& args, const Group& group, int finished,
                                   const Scratch& scratch) {
    const int before = finished;
    int continuing = 0;
    for (int i = 0; i < 2 * args.beam; ++i) {
      const int key = scratch.keys[i];
      if (key == kNoToken) continue;
      const bool in_beam = i < args.beam;
      const bool ends =
          key % args.vocab == args.rules.eos && scratch.scores[i] != negative_infinity();
      const bool dropped = in_beam && args.dead[group.number * args.beam + i] != 0;
      if (!dropped && !ends) {
        if (continuing < args.beam) {
          scratch.chosen[continuing] = i;
          scratch.dead[continuing] = 0;
          ++continuing;
        }
      } else if (!dropped && in_beam && finished < args.beam) {
        const int place = group.sentence * args.beam + finished;
        scratch.ended[finished - before] = key / args.vocab;
        args.finished.score[place] = scratch.scores[i];
        args.finished.length[place] = group.place.steps + 1;
        ++finished;
      }
    }
    args.finished.count[group.sentence] = finished;
    const bool live = finished < args.beam && group.place.may_go_on;
    args.survivors.live[group.number] = live ? 1 : 0;
    args.survivors.sentences[group.number] = group.sentence;
    if (live) fill_places(args, group, continuing, scratch);
  }

  // Where fewer than `beam` candidates continue, the first that do not fill the places, as dead.
  static ELBEAM_DEVICE void fill_places(const Args& args, const Group& group, int continuing,
                                        const Scratch& scratch) {
    const int alive = continuing;
    for (int i = 0, next = 0; continuing < args.beam && i < 2 * args.beam; ++i) {
      if (next < alive && scratch.chosen[next] == i) {
        ++next;
        continue;
      }
      scratch.chosen[continuing] = i;
      scratch.dead[continuing] = 1;
      ++continuing;
    }
    for (int b = 0; b < args.beam; ++b) {
      const int key = scratch.keys[scratch.chosen[b]];
      const int place = group.number * args.beam + b;
      args.survivors.parents[place] = static_cast<int>(group.first_row) + key / args.vocab;
      args.survivors.tokens[place] = key % args.vocab;
      args.survivors.scores[place] = scratch.scores[scratch.chosen[b]];
      args.survivors.dead[place] = scratch.dead[b];
    }
  }

  // All lanes: the tokens of a hypothesis that ends, and their cumulative scores.
  static ELBEAM_DEVICE void copy_history(const Args& args, const StepState& state, std::int64_t row,
                                         std::int64_t place, int steps) {
    std::int32_t* tokens = args.finished.tokens + place * args.finished.width;
    float* scores = args.finished.scores + place * args.finished.width;
    for (int t = lane_index(); t < steps; t += kWarp) {
      const std::int64_t from =
          (t + 1) * args.history.slots + ancestor(args.history, state, row, t + 1);
      tokens[t] = args.history.tokens[from];
      scores[t] = args.history.scores[from];
    }
    if (lane_index() == 0) {
      tokens[steps] = args.rules.eos;
      scores[steps] = args.finished.score[place];
    }
  }
};

// A row of the next step: place b of the beam of a sentence.
struct BeamRow {
  int b;
  int row;
  int sentence;
  int step;  // the next one
};

// What follows for a row from its sentence.
ELBEAM_DEVICE void set_row(const NextRows& rows, const BeamRow& place) {
  const SentenceLimits limits = rows.limits[place.sentence];
  const int slot = place.sentence * rows.beam + place.b;
  rows.position_of_row[place.row] = limits.prompt - limits.first_step;
  rows.first_of_row[place.row] = limits.first_step;
  rows.slot_of_row[place.row] = slot;
  rows.parts_of_row[place.row] = rows.parts_of[place.sentence];
  if (rows.self_parts_of_row != nullptr)
    rows.self_parts_of_row[place.row] = rows.self_parts_of[place.sentence];
  const std::int64_t entry = (place.step - limits.first_step) * rows.history.slots + slot;
  rows.history.tokens[entry] = rows.tokens[place.row];
  rows.history.scores[entry] = rows.scores[place.row];
}

struct Compact {
  using Args = CompactArgs;
  static constexpr const char* kName = "compact";
  static constexpr int kMaxThreads = 256;
  static constexpr int kMinBlocks = 4;

  static ELBEAM_DEVICE void run(const Args& args) {
    const StepState state = *args.state;
    const int beam = args.rows.beam;
    auto* live = reinterpret_cast<int*>(shared_memory());
    if (warp_index() == 0) {
      int places = 0;
      for (int first = 0; first < state.groups; first += kWarp) {
        const int group = first + lane_index();
        const bool goes_on = group < state.groups && args.survivors.live[group] != 0;
        const unsigned votes = ballot(goes_on);
        if (group < state.groups) {
          args.places[group] =
              goes_on ? places + count_bits(votes & ((1U << lane_index()) - 1U)) : -1;
        }
        places += count_bits(votes);
      }
      if (lane_index() == 0) *live = places;
    }
    block_barrier();
    for (int i = thread_index(); i < state.groups * beam; i += thread_count())
      move_row(args, state, i / beam, i % beam);
    for (int group = thread_index(); group < state.groups; group += thread_count())
      move_sentence(args, group);
    // Every thread has read the state: there was a barrier.
    if (thread_index() == 0) *args.state = {state.step + 1, *live, *live * beam, beam};
  }

 private:
  static ELBEAM_DEVICE void move_row(const Args& args, const StepState& state, int group, int b) {
    const NextRows& rows = args.rows;
    const int place = args.places[group];
    if (place < 0) return;
    const int from = group * rows.beam + b;
    const int to = place * rows.beam + b;
    rows.tokens[to] = args.survivors.tokens[from];
    rows.parents[to] = args.survivors.parents[from];
    rows.scores[to] = args.survivors.scores[from];
    rows.dead[to] = args.survivors.dead[from];
    set_row(rows, {b, to, args.survivors.sentences[group], state.step + 1});
  }

  static ELBEAM_DEVICE void move_sentence(const Args& args, int group) {
    const int sentence = args.survivors.sentences[group];
    const int place = args.places[group];
    const int beam = args.rows.beam;
    if (place >= 0) args.rows.sentence_of[place] = sentence;
    args.rows.rows_of[sentence] = place >= 0 ? RowRange{place * beam, beam} : RowRange{0, 0};
  }
};

struct Admit {
  using Args = AdmitArgs;
  static constexpr const char* kName = "admit";
  static constexpr int kMaxThreads = 256;
  static constexpr int kMinBlocks = 4;

  static ELBEAM_DEVICE void run(const Args& args) {
    const StepState state = *args.state;
    const NextRows& rows = args.rows;
    block_barrier();  // every thread has read the state
    for (int i = thread_index(); i < args.count * state.group_rows; i += thread_count()) {
      const int sentence = args.admitted[i / state.group_rows];
      const int row = state.rows + i;
      rows.tokens[row] = args.first_tokens[sentence];
      rows.parents[row] = row;
      rows.scores[row] = args.start_scores[sentence];
      set_row(rows, {i % state.group_rows, row, sentence, state.step});
    }
    for (int i = thread_index(); i < args.count * rows.beam; i += thread_count())
      rows.dead[state.groups * rows.beam + i] = 0;
    for (int i = thread_index(); i < args.count; i += thread_count()) {
      const int sentence = args.admitted[i];
      rows.sentence_of[state.groups + i] = sentence;
      rows.rows_of[sentence] = {state.rows + i * state.group_rows, state.group_rows};
      args.finished_count[sentence] = 0;
    }
    if (thread_index() == 0) {
      *args.state = {state.step, state.groups + args.count,
                     state.rows + args.count * state.group_rows, state.group_rows};
    }
  }
};

struct Advance {
  using Args = AdvanceArgs;
  static constexpr const char* kName = "advance";
  static constexpr int kMaxThreads = 128;
  static constexpr int kMinBlocks = 4;

  static ELBEAM_DEVICE void run(const Args& args) {
    const StepState state = *args.state;
    const int row = block_x();
    if (row >= state.rows) return;
    const int steps = state.step - args.first_of_row[row];
    const std::int32_t* from =
        args.ancestors[(state.step + 1) % 2] + args.parents[row] * args.ancestor_stride;
    std::int32_t* to = args.ancestors[state.step % 2] + row * args.ancestor_stride;
    for (int t = thread_index(); t < steps; t += thread_count()) to[t] = from[t];
    if (thread_index() == 0) to[steps] = args.slot_of_row[row];
  }
};

}  // namespace elbeam::kernels
