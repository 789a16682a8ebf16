// Random tokens in place of the best ones: fairseq's Sampling.step, drawn by counters.
#pragma once

#include "base/philox.hpp"
#include "kernels/core/vocabulary.hpp"

namespace elbeam::kernels {

// One block for each row. A token is the one with the greatest probability / e_i, where e_i are
// exponentially distributed numbers that seed, sentence, step, place in the beam and token give:
// neither the order of threads nor what else is in the batch shows. Which tokens take part (top-k,
// top-p) is found by searching for the least of them, four bits at a time.
template <typename T>
struct Sample {
  using Args = SampleArgs<T>;
  static constexpr const char* kName = "sample";
  static constexpr int kMaxThreads = 256;
  static constexpr int kMinBlocks = 2;

  // Shared memory: launch_plan.hpp sample_shared_bytes().
  static ELBEAM_DEVICE void run(const Args& args) {
    const StepState state = *args.state;
    const int row = block_x();
    if (row >= state.rows) return;
    const int group = row / state.group_rows;
    const Place place = place_of(args.rules, state, group);
    // All hypotheses of a sentence are drawn from one row in its first step.
    const bool all = place.steps == 0;
    if (all && row % state.group_rows != 0) return;
    T* logits = args.logits + static_cast<std::int64_t>(row) * args.vocab;
    auto* scratch = reinterpret_cast<float*>(shared_memory());
    const Row it{args, logits, place, normaliser(args, logits, scratch)};
    mask_banned(args, row, it.place.length, logits);
    const std::uint64_t least = least_entry(it, scratch);
    const int first = all ? 0 : row % state.group_rows;
    const int count = all ? args.beam : 1;
    const PhiloxWords counter{{0, static_cast<std::uint32_t>(it.place.length), 0,
                               args.ids[args.rules.sentence_of[group]]}};
    bool failed = false;
    for (int b = first; b < first + count; ++b) {
      const int token = draw(it, least, counter, b, scratch);
      failed = failed || token == kNoToken;
      if (thread_index() != 0) continue;
      const int out = group * args.beam + b;
      args.tokens[out] = token == kNoToken ? args.rules.eos : token;
      args.log_probs[out] =
          token == kNoToken ? negative_infinity() : logf(expf(it.log_prob(token)));
    }
    if (failed && thread_index() == 0) args.failed[row] = 1;
  }

 private:
  struct Row {
    const Args& args;
    const T* logits;
    Place place;
    float logarithm;  // of the sum of all exp(logit)

    // What is left of a token's log-probability by the rules.
    ELBEAM_DEVICE float log_prob(int token) const {
      if (!may_follow(args.rules, place, args.vocab, token)) return negative_infinity();
      float value = to_float(logits[token]) / args.rules.temperature - logarithm;
      if (token == args.rules.unk) value -= args.rules.unk_penalty;
      return value == value ? value : negative_infinity();
    }
  };

  static ELBEAM_DEVICE float normaliser(const Args& args, const T* logits, float* scratch) {
    float best = negative_infinity();
    for (int c = thread_index(); c < args.vocab; c += thread_count())
      best = fmaxf(best, to_float(logits[c]) / args.rules.temperature);
    best = lanes_max(best);
    if (lane_index() == 0) scratch[warp_index()] = best;
    block_barrier();
    for (int w = 0; w < thread_count() / kWarp; ++w) best = fmaxf(best, scratch[w]);
    float total = 0.0F;
    for (int c = thread_index(); c < args.vocab; c += thread_count())
      total += expf(to_float(logits[c]) / args.rules.temperature - best);
    return best + logf(block_sum(total, scratch));
  }

  // Behind the barriers of the sum that they are still part of. Tokens may be banned more than
  // once, hence by one thread.
  static ELBEAM_DEVICE void mask_banned(const Args& args, int row, int length, T* logits) {
    if (args.banned != nullptr && thread_index() == 0) {
      const std::int32_t* banned = args.banned + row * args.banned_stride;
      for (int i = 0; i <= length; ++i) {
        if (banned[i] >= 0) logits[banned[i]] = from_float<T>(negative_infinity());
      }
    }
    block_barrier();
  }

  // rank_entry() of the least token that takes part; 0: all do.
  static ELBEAM_DEVICE std::uint64_t least_entry(const Row& row, float* scratch) {
    const Args& args = row.args;
    const bool nucleus = args.topp > 0.0F;
    if (!nucleus && args.topk <= 0) return 0;
    const float wanted = nucleus ? args.topp : static_cast<float>(args.topk);
    int bits = 0;  // that tokens differ in: entries hold them inverted
    while (args.vocab > 1 << bits) bits += 4;
    std::uint64_t least = 0;
    for (int shift = 60; shift >= 0; shift -= 4) {
      if (shift == 28) {
        least |= 0xffffffffU >> bits << bits;
        shift = bits - 4;
        if (shift < 0) break;
      }
      const int digits = greatest_digit(row, least, shift, wanted, scratch);
      least += static_cast<std::uint64_t>(digits) << shift;
    }
    return least;
  }

  // The greatest d < 16 for which the tokens from least + (d << shift) on weigh enough.
  static ELBEAM_DEVICE int greatest_digit(const Row& row, std::uint64_t least, int shift,
                                          float wanted, float* scratch) {
    const bool nucleus = row.args.topp > 0.0F;
    float weights[16] = {};  // of the entries from least + (i + 1 << shift) on
    for (int c = thread_index(); c < row.args.vocab; c += thread_count()) {
      const float value = row.log_prob(c);
      const std::uint64_t entry = rank_entry(value, c);
      if (entry < least || value == negative_infinity()) continue;
      const std::uint64_t digit = (entry - least) >> shift;
      const float weight = nucleus ? expf(value) : 1.0F;
      ELBEAM_UNROLL
      for (int i = 0; i < 15; ++i) weights[i] += digit > static_cast<unsigned>(i) ? weight : 0.0F;
    }
    const float sum = sums_of_16(weights);
    block_barrier();  // the sums before have been read
    if (lane_index() % 2 == 0) scratch[warp_index() * 16 + lane_index() / 2] = sum;
    block_barrier();
    int digits = 0;
    for (int i = 0; i < 15; ++i) {
      float total = 0.0F;
      for (int w = 0; w < thread_count() / kWarp; ++w) total += scratch[w * 16 + i];
      digits += total >= wanted ? 1 : 0;
    }
    return digits;
  }

  // Lanes give away half of the numbers they have, and add what they are given to the others.
  template <int kHalf>
  static ELBEAM_DEVICE void exchange_half(float (&values)[16]) {
    const bool upper = (lane_index() & 2 * kHalf) != 0;
    ELBEAM_UNROLL
    for (int i = 0; i < kHalf; ++i) {
      const float kept = upper ? values[kHalf + i] : values[i];
      const float given = upper ? values[i] : values[kHalf + i];
      values[i] = kept + shuffle_xor(given, 2 * kHalf);
    }
  }

  // Sums over the lanes of a warp: that of number lane / 2. Written out, since an array that is
  // indexed by a variable does not stay in registers.
  static ELBEAM_DEVICE float sums_of_16(float (&values)[16]) {
    exchange_half<8>(values);
    exchange_half<4>(values);
    exchange_half<2>(values);
    exchange_half<1>(values);
    return values[0] + shuffle_xor(values[0], 1);
  }

  static ELBEAM_DEVICE int draw(const Row& row, std::uint64_t least, PhiloxWords counter, int place,
                                float* scratch) {
    counter.word[2] = static_cast<std::uint32_t>(place);
    std::uint64_t best = TopList<1>::nothing();
    for (int first = 4 * thread_index(); first < row.args.vocab; first += 4 * thread_count()) {
      counter.word[0] = static_cast<std::uint32_t>(first / 4);
      const PhiloxWords random = philox(row.args.seed, counter);
      ELBEAM_UNROLL
      for (int i = 0; i < 4; ++i) {
        const float value = row.log_prob(first + i);
        const float probability = expf(value);
        if (probability == 0.0F || rank_entry(value, first + i) < least) continue;
        const float exponential = -log1pf(-unit_interval(random.word[i]));
        const std::uint64_t entry = rank_entry(probability / exponential, first + i);
        best = entry > best ? entry : best;
      }
    }
    ELBEAM_UNROLL
    for (int bits = kWarp / 2; bits > 0; bits /= 2) {
      const std::uint64_t other = shuffle_xor(best, bits);
      best = other > best ? other : best;
    }
    auto* entries = reinterpret_cast<std::uint64_t*>(scratch);
    block_barrier();  // what lies in scratch has been read
    if (lane_index() == 0) entries[warp_index()] = best;
    block_barrier();
    for (int w = 0; w < thread_count() / kWarp; ++w) best = entries[w] > best ? entries[w] : best;
    return entry_key(best);
  }
};

}  // namespace elbeam::kernels
