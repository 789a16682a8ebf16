// From logits to candidates: log-sum-exp and the best tokens in one pass; and plain log-softmax.
#pragma once

#include "kernels/core/top_list.hpp"

namespace elbeam::kernels {

// A running log-sum-exp.
struct LogSum {
  float maximum;
  float total;

  ELBEAM_DEVICE void clear() {
    maximum = negative_infinity();
    total = 0.0F;
  }
  ELBEAM_DEVICE void add(float other_maximum, float other_total) {
    const float best = fmaxf(maximum, other_maximum);
    const float shift = best == negative_infinity() ? 0.0F : best;
    total = total * expf(maximum - shift) + other_total * expf(other_maximum - shift);
    maximum = best;
  }
  // Over the lanes of a warp; every lane gets the result.
  ELBEAM_DEVICE void merge_lanes() {
    const float best = lanes_max(maximum);
    const float shift = best == negative_infinity() ? 0.0F : best;
    total = lanes_sum(total * expf(maximum - shift));
    maximum = best;
  }
};

// Where the hypotheses of a group stand, and what may follow.
struct Place {
  int length;  // tokens behind the start token
  int steps;   // of the sentence, before this one
  bool may_end;
  bool may_go_on;  // with a token that does not end it
  ELBEAM_DEVICE int prompt() const { return length - steps; }
};
ELBEAM_DEVICE Place place_of(const NextTokenRules& rules, const StepState& state, int group) {
  const SentenceLimits limits = rules.limits[rules.sentence_of[group]];
  const int steps = state.step - limits.first_step;
  const int length = limits.prompt + steps;
  return {length, steps, length >= rules.min_len || length < limits.prefix_width,
          length < limits.max_len};
}

ELBEAM_DEVICE bool may_follow(const NextTokenRules& rules, const Place& place, int vocab,
                              int token) {
  if (token >= vocab || token == rules.pad) return false;
  return token == rules.eos ? place.may_end : place.may_go_on;
}

template <typename T, int kPlaces>
struct Vocabulary {
  using Args = VocabularyArgs<T>;
  static constexpr const char* kName = "vocabulary";
  static constexpr int kMaxThreads = 256;
  static constexpr int kMinBlocks = 4;
  static constexpr int kSteps = 4;  // tokens of a lane between two votes

  // Shared memory: launch_plan.hpp vocabulary_shared_bytes().
  static ELBEAM_DEVICE void run(const Args& args) {
    const int row = block_x();
    if (row >= args.state->rows) return;
    const T* logits = args.logits + static_cast<std::int64_t>(row) * args.vocab;
    const Place place = place_of(args.rules, *args.state, row / args.state->group_rows);
    TopList<kPlaces> list;
    list.clear(args.wanted);
    LogSum sum;
    sum.clear();
    // The parts of the vocabulary are whole turns of the block.
    const int turn = thread_count() * kSteps;
    const int turns = (args.vocab + turn - 1) / turn;
    const int begin = static_cast<int>(static_cast<std::int64_t>(turns) * block_y() / grid_y());
    const int end = static_cast<int>(static_cast<std::int64_t>(turns) * (block_y() + 1) / grid_y());
    for (int t = begin; t < end; ++t)
      scan(args, row, place, t * turn + warp_index() * kWarp * kSteps, sum, list);
    sum.merge_lanes();
    merge(args, row, logits, sum, list);
  }

 private:
  static ELBEAM_DEVICE void scan(const Args& args, int row, const Place& place, int first,
                                 LogSum& sum, TopList<kPlaces>& list) {
    const T* logits = args.logits + static_cast<std::int64_t>(row) * args.vocab;
    float x[kSteps];
    float best = negative_infinity();
    bool any = false;
    ELBEAM_UNROLL
    for (int i = 0; i < kSteps; ++i) {
      const int token = first + i * kWarp + lane_index();
      x[i] = token < args.vocab ? to_float(logits[token]) / args.rules.temperature
                                : negative_infinity();
      best = fmaxf(best, x[i]);
      any = any || entry_of(args, token, x[i]) > list.last;
    }
    const float shift = best == negative_infinity() ? 0.0F : best;
    float total = 0.0F;
    ELBEAM_UNROLL
    for (int i = 0; i < kSteps; ++i) total += expf(x[i] - shift);
    sum.add(best, total);
    if (ballot(any) == 0) return;
    ELBEAM_UNROLL
    for (int i = 0; i < kSteps; ++i) {
      const int token = first + i * kWarp + lane_index();
      const std::uint64_t entry = entry_of(args, token, x[i]);
      unsigned votes =
          ballot(may_follow(args.rules, place, args.vocab, token) && entry > list.last);
      for (; votes != 0; votes &= votes - 1) {
        const std::uint64_t candidate = shuffle(entry, lowest_bit(votes));
        if (candidate > list.last && !is_banned(args, row, place.length, entry_key(candidate)))
          list.insert(candidate);
      }
    }
  }

  static ELBEAM_DEVICE std::uint64_t entry_of(const Args& args, int token, float x) {
    const float value = token == args.rules.unk ? x - args.rules.unk_penalty : x;
    return value == value ? rank_entry(value, token) : TopList<kPlaces>::nothing();
  }

  // The same token in every lane.
  static ELBEAM_DEVICE bool is_banned(const Args& args, int row, int length, int token) {
    if (args.banned == nullptr) return false;
    const std::int32_t* banned = args.banned + row * args.banned_stride;
    bool found = false;
    for (int i = lane_index(); i <= length; i += kWarp) found = found || banned[i] == token;
    return ballot(found) != 0;
  }

  // The warps' lists and sums, brought together by the first warp.
  static ELBEAM_DEVICE void merge(const Args& args, int row, const T* logits, LogSum& sum,
                                  TopList<kPlaces>& list) {
    const int warps = thread_count() / kWarp;
    auto* entries = reinterpret_cast<std::uint64_t*>(shared_memory());
    auto* sums = reinterpret_cast<float*>(entries + warps * args.wanted);
    const int mine = warp_index() * args.wanted;
    list.for_each([&](int place, std::uint64_t entry) { entries[mine + place] = entry; });
    if (lane_index() == 0) {
      sums[2 * warp_index()] = sum.maximum;
      sums[2 * warp_index() + 1] = sum.total;
    }
    block_barrier();
    if (warp_index() != 0) return;
    for (int w = 1; w < warps; ++w) sum.add(sums[2 * w], sums[2 * w + 1]);
    for (int first = args.wanted; first < warps * args.wanted; first += kWarp) {
      const int i = first + lane_index();
      list.offer(i < warps * args.wanted ? entries[i] : TopList<kPlaces>::nothing());
    }
    const std::int64_t place = static_cast<std::int64_t>(row) * grid_y() + block_y();
    list.for_each([&](int i, std::uint64_t entry) {
      const int key = entry_key(entry);
      args.candidates[place * args.wanted + i] = key;
      args.values[place * args.wanted + i] =
          key == kNoToken ? negative_infinity() : to_float(logits[key]) / args.rules.temperature;
    });
    if (lane_index() == 0) {
      args.stats[2 * place] = sum.maximum;
      args.stats[2 * place + 1] = sum.total;
    }
  }
};

template <typename T>
struct LogProb {
  using Args = LogProbArgs<T>;
  static constexpr const char* kName = "log_prob";
  static constexpr int kMaxThreads = 256;
  static constexpr int kMinBlocks = 4;

  static ELBEAM_DEVICE void run(const Args& args) {
    const std::int64_t first = static_cast<std::int64_t>(block_x()) * args.vocab;
    auto* scratch = reinterpret_cast<float*>(shared_memory());
    float best = negative_infinity();
    bool not_a_number = false;
    for (int c = thread_index(); c < args.vocab; c += thread_count()) {
      const float x = to_float(args.logits[first + c]) / args.temperature;
      best = fmaxf(best, x);
      not_a_number = not_a_number || x != x;
    }
    best = lanes_max(best);
    if (lane_index() == 0) scratch[warp_index()] = best;
    block_barrier();
    for (int w = 0; w < thread_count() / kWarp; ++w) best = fmaxf(best, scratch[w]);
    float total = not_a_number ? negative_infinity() - negative_infinity() : 0.0F;
    for (int c = thread_index(); c < args.vocab; c += thread_count())
      total += expf(to_float(args.logits[first + c]) / args.temperature - best);
    const float logarithm = logf(block_sum(total, scratch));
    if (args.targets != nullptr) {
      if (thread_index() == 0) {
        args.log_probs[block_x()] =
            to_float(args.logits[first + args.targets[block_x()]]) / args.temperature - best -
            logarithm;
      }
      return;
    }
    for (int c = thread_index(); c < args.vocab; c += thread_count()) {
      args.log_probs[first + c] =
          to_float(args.logits[first + c]) / args.temperature - best - logarithm;
    }
  }
};

}  // namespace elbeam::kernels
