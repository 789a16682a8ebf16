// Cross-attention in its three ways against what the planner predicts of them: EL, keys and values
// shared by the beams, and a copy of them for each beam (what fairseq does, and elbeam never).
//
//   elbeam-attention-bench [WORKLOAD ...]      one thread, fp32; prints Markdown
//
// A workload's layers have weights, keys and values of their own, as in a model: what does not fit
// the caches comes from memory. Measured: building keys and values, and steps with all beams alive.
#include "attention/cross_attention.hpp"
#include "attention/planner.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "bench/kernels/machine_limits.hpp"
#include "bench/kernels/random_values.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <utility>
#include <vector>

namespace elbeam::bench {
namespace {

using attention::CrossKeysValues;
using attention::EncoderOut;
using attention::Kind;
using attention::SentenceRows;
using attention::Weights;

struct Workload {
  const char* name;
  std::int64_t sentences, source, beam, layers, heads, dim, steps;
};

constexpr Workload kWorkloads[] = {
    {"multi30k, batch 16", 16, 14, 5, 2, 4, 256, 14},
    {"multi30k, one sentence", 1, 14, 5, 2, 4, 256, 14},
    {"squad, batch 16", 16, 36, 5, 2, 4, 256, 14},
    {"news, batch 8", 8, 745, 4, 2, 4, 256, 90},
    {"Transformer-base, one sentence", 1, 30, 5, 6, 8, 512, 30},
    {"Transformer-base, batch 32", 32, 30, 5, 6, 8, 512, 30},
    {"Transformer-base, 8 x 256, greedy", 8, 256, 1, 6, 8, 512, 64},
    {"Transformer-base, 8 x 256, beam 10", 8, 256, 10, 6, 8, 512, 64},
    {"Transformer-big, batch 16", 16, 30, 4, 6, 16, 1024, 30},
    {"BART-large, one document", 1, 512, 4, 12, 16, 1024, 32},
    {"BART-large, 4 documents", 4, 512, 4, 12, 16, 1024, 32},
    {"BART-large, 2 x 1,023", 2, 1023, 4, 12, 16, 1024, 60},
    {"BART-large, 4 documents, 4 tokens each", 4, 512, 4, 12, 16, 1024, 4},
};

// One decoder layer's cross-attention with weights of its own.
class Layer {
 public:
  explicit Layer(const Workload& work) : values_(usize(4 * work.dim * work.dim)) {
    fill_random(values_.data(), ssize(values_.size()), 0.1F);
    const auto matrix = [&](std::int64_t i) {
      const auto weight = std::span<const float>(values_).subspan(usize(i * work.dim * work.dim),
                                                                  usize(work.dim * work.dim));
      return attention::Projection<float>{[weight] {
                                            return SharedArray<float>{weight, nullptr};
                                          },
                                          {}};
    };
    weights_.emplace_back(attention::Source<float>{matrix(0), matrix(1), matrix(2), matrix(3),
                                                   work.heads, work.dim, work.dim});
    weights_.front().prepare(Kind::kEl);
    weights_.front().prepare(Kind::kMha);
  }
  const Weights<float>& weights() const { return weights_.front(); }

 private:
  std::vector<float> values_;
  std::vector<Weights<float>> weights_;
};

template <typename Function>
double seconds(Function&& function) {
  double best = 1e300;
  double spent = 0.0;
  for (int round = 0; round < 3 || (spent < 0.3 && round < 100); ++round) {
    const auto begin = std::chrono::steady_clock::now();
    function();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    best = std::min(best, took.count());
    spent += took.count();
  }
  return best;
}

EncoderOut<float> random_encoder_out(const Workload& work, std::int64_t copies) {
  EncoderOut<float> out;
  out.dim = work.dim;
  const std::int64_t sentences = work.sentences * copies;
  for (std::int64_t s = 0; s <= sentences; ++s) out.offsets.push_back(s * work.source);
  out.hidden.reserve(out.offsets.back() * work.dim);
  fill_random(out.hidden.data(), out.offsets.back() * work.dim, 1.0F);
  return out;
}

struct Measured {
  double build = 0.0;  // seconds
  double step = 0.0;
  double whole(const Workload& work) const {
    return build + step * static_cast<double>(work.steps);
  }
};

// All layers of a workload. `copies` sentences of one row each stand for the beams of a sentence
// that have keys and values of their own.
Measured measure(const Workload& work, std::span<const Layer> layers, Kind kind,
                 std::int64_t copies) {
  ThreadPool pool(1);
  const EncoderOut<float> encoder_out = random_encoder_out(work, copies);
  const std::int64_t beam = work.beam / copies;
  std::vector<SentenceRows> live;
  for (std::int64_t s = 0; s < encoder_out.sentences(); ++s) live.push_back({s, s * beam, beam});
  std::vector<CrossKeysValues<float>> keys_values(layers.size());
  Measured result;
  if (kind == Kind::kMha) {
    result.build = seconds([&] {
      for (std::size_t i = 0; i < layers.size(); ++i)
        keys_values[i] = CrossKeysValues<float>(layers[i].weights(), encoder_out, pool);
    });
  }
  const std::int64_t rows = encoder_out.sentences() * beam;
  AlignedBuffer<float> x(rows * work.dim);
  AlignedBuffer<float> y(rows * work.dim);
  fill_random(x.data(), rows * work.dim, 1.0F);
  attention::Workspace<float> workspace;
  result.step = seconds([&] {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      attention::CrossStep<float> step;
      step.weights = &layers[i].weights();
      step.encoder_out = &encoder_out;
      step.keys_values = kind == Kind::kMha ? &keys_values[i] : nullptr;
      step.live = live;
      step.rows = rows;
      step.x = x.data();
      step.y = y.data();
      step.residual = x.data();
      attention::cross_attention(step, workspace, pool);
    }
  });
  return result;
}

attention::Shape planner_shape(const Workload& work) {
  return {work.layers,    work.heads, work.dim, work.dim, work.beam, work.source * work.sentences,
          work.sentences, work.steps};
}

void print_cell(double predicted, double measured) {
  std::printf(" %.3g | %.3g | %.2f |", 1e3 * predicted, 1e3 * measured, predicted / measured);
}

void run(const Workload& work, const attention::Machine& machine) {
  std::vector<Layer> layers;
  layers.reserve(usize(work.layers));
  for (std::int64_t i = 0; i < work.layers; ++i) layers.emplace_back(work);
  const double el = measure(work, layers, Kind::kEl, 1).whole(work);
  const double shared = measure(work, layers, Kind::kMha, 1).whole(work);
  const double own = measure(work, layers, Kind::kMha, work.beam).whole(work);

  const attention::Shape shape = planner_shape(work);
  const attention::Cost predicted_el = predict_cross_el(shape, sizeof(float), machine);
  const attention::Cost predicted_shared = predict_cross_mha(shape, sizeof(float), machine);
  const attention::Cost predicted_own =
      predict_cross_mha(attention::copied(shape), sizeof(float), machine);
  std::printf("| %s |", work.name);
  print_cell(predicted_el.seconds, el);
  print_cell(predicted_shared.seconds, shared);
  print_cell(predicted_own.seconds, own);
  const bool takes_el = attention::plan_cross(shape, sizeof(float)) == Kind::kEl;
  std::printf(" %s | %.2f | %.2f, %.2f, %.2f |\n", takes_el ? "EL" : "shared",
              (takes_el ? el : shared) / std::min(el, shared), predicted_el.cache_bytes / 1e6,
              predicted_shared.cache_bytes / 1e6, predicted_own.cache_bytes / 1e6);
  std::fflush(stdout);
}

int run_all(std::span<char* const> names) {
  ThreadPool pool(1);
  const MachineLimits limits = measure_limits(pool);
  std::printf("%s, 1 thread, fp32: %.1f GFLOP/s, reads %.1f GB/s\n\n",
              kernels::isa_name(kernels::active_isa()), limits.flops / 1e9,
              limits.bytes_per_second / 1e9);
  std::printf(
      "| workload | EL: predicted ms | measured | ratio | shared: predicted ms | measured | ratio "
      "| copied: predicted ms | measured | ratio | planner takes | against the better | MB of EL, "
      "shared, copied |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
  for (const Workload& work : kWorkloads) {
    const bool wanted =
        names.empty() || std::any_of(names.begin(), names.end(), [&](const char* name) {
          return std::string_view(work.name).starts_with(name);
        });
    if (wanted) run(work, {limits.flops, limits.bytes_per_second});
  }
  return 0;
}

}  // namespace
}  // namespace elbeam::bench

int main(int argc, char** argv) {
  try {
    return elbeam::bench::run_all({argv + 1, static_cast<std::size_t>(argc - 1)});
  } catch (const elbeam::Error& error) {
    std::fprintf(stderr, "elbeam-attention-bench: %s\n", error.what());
    return 1;
  }
}
