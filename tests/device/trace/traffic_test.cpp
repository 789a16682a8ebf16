// How many bytes a decode step moves, and how well: EL-attention over fp16, scaled down from
// BART-large with 320 sentences. The tables of docs/gpu.md are what this prints.
#include "device/device_search.hpp"
#include "device/trace/metered_step.hpp"

#include <iomanip>
#include <iostream>
#include <set>

namespace elbeam::device {
namespace {

using kernels::emulated::Traffic;

Traffic total(const std::string& array, bool writes) {
  Traffic sum;
  for (const auto& [key, traffic] : Tracer::instance().traffic.traffic()) {
    if (key.array == array && key.writes == writes) sum += traffic;
  }
  return sum;
}

void print_table() {
  std::cout << "| kernel | array | | requests | bytes/request | KiB asked of the cache | of memory "
               "| each byte once | used of 32 |\n";
  for (const auto& [key, t] : Tracer::instance().traffic.traffic()) {
    std::cout << "| " << key.kernel << " | " << (key.array.empty() ? "-" : key.array) << " | "
              << (key.writes ? "write" : "read") << " | " << t.requests << " | ";
    if (key.array == "shared") {
      std::cout << t.wavefronts << " wavefronts, " << t.ideal_wavefronts
                << " without conflicts |\n";
      continue;
    }
    std::cout << t.used_bytes / t.requests << " | " << t.moved_bytes / 1024 << " | "
              << t.memory_bytes / 1024 << " | " << t.floor_bytes / 1024 << " | " << std::fixed
              << std::setprecision(1)
              << 32.0 * static_cast<double>(t.used_bytes) / static_cast<double>(t.moved_bytes)
              << " |\n";
  }
}

// The second-level cache of an H100, 50 MB, beside the hidden states of 320 sentences of 1024
// tokens, 671 MB.
std::int64_t scaled_cache(const StepShape& shape) { return shape.hidden_bytes() * 3 / 40; }

const std::set<std::string> kSearchKernels = {"ban_repeated_ngrams", "beam_step", "compact",
                                              "advance", "admit"};

double ratio(std::int64_t found, std::int64_t wanted) {
  return static_cast<double>(found) / static_cast<double>(wanted);
}

TEST(Traffic, StepReadsWhatItNeedsOnce) {
  const StepShape shape;
  MeteredStep step(shape);
  step.launch(scaled_cache(shape));
  print_table();
  const std::int64_t cross = total("hidden states", false).memory_bytes;
  const std::int64_t self = total("self cache", false).memory_bytes;
  const std::int64_t weights = total("weights", false).memory_bytes;
  const std::int64_t floor = shape.cross_floor() + shape.self_floor() + step.weight_bytes();
  std::cout << "hidden states " << cross << " of " << shape.cross_floor() << ", self cache " << self
            << " of " << shape.self_floor() << ", weights " << weights << " of "
            << step.weight_bytes() << " bytes\n";
  EXPECT_NEAR(ratio(cross, shape.cross_floor()), 1.0, 0.1);
  EXPECT_NEAR(ratio(self, shape.self_floor()), 1.0, 0.1);
  EXPECT_NEAR(ratio(weights, step.weight_bytes()), 1.0, 0.1);
  EXPECT_NEAR(ratio(cross + self + weights, floor), 1.0, 0.1);
}

// What a step moves between memory and cache.
struct StepTraffic {
  std::int64_t activations = 0;  // read and written
  std::int64_t hidden = 0;
  std::int64_t self = 0;
};

StepTraffic traffic_of(const StepShape& shape, std::int64_t cache_bytes) {
  MeteredStep step(shape);
  step.launch(cache_bytes);
  return {total("activations", false).memory_bytes + total("activations", true).memory_bytes,
          total("hidden states", false).memory_bytes, total("self cache", false).memory_bytes};
}

// A BART-large of 320 sentences with a beam of 4 on an H100, scaled: 8 multiprocessors for 132, and
// a cache that holds as many slices as one of 50 MB does, three of 66 sentences.
TEST(Traffic, SlicesKeepExpandedQueriesInTheCache) {
  StepShape shape;
  shape.sentences = 20;
  shape.source = 64;  // docs/gpu.md has the figures of longer ones too
  shape.steps = 70;
  shape.layers = 1;
  const std::int64_t cache = 12 * 2 * shape.beam * shape.heads * shape.dim * StepShape::kBytes;
  const StepTraffic whole = traffic_of(shape, cache);
  shape.cache_bytes = cache;  // five slices
  const StepTraffic sliced = traffic_of(shape, cache);
  std::cout << "activations " << whole.activations / 1024 << " KiB, in slices "
            << sliced.activations / 1024 << "; hidden states " << whole.hidden / 1024 << ", "
            << sliced.hidden / 1024 << "; own past " << whole.self / 1024 << ", "
            << sliced.self / 1024 << '\n';
  EXPECT_LE(ratio(sliced.activations, whole.activations), 0.6);
  EXPECT_NEAR(ratio(sliced.hidden, whole.hidden), 1.0, 0.1);
  EXPECT_NEAR(ratio(sliced.self, whole.self), 1.0, 0.1);
}

// One block has all rows of a sentence: the hidden states are asked for once. Of the last tile only
// the keys are read, and up to 7 of the next sentence.
TEST(Traffic, KernelsOfSm90AskOnce) {
  StepShape shape;
  shape.sentences = 4;
  shape.source = 136;
  shape.layers = 1;
  shape.like = 90;
  MeteredStep step(shape);
  step.launch(0);
  const Traffic hidden = total("hidden states", false);
  EXPECT_EQ(hidden.moved_bytes, shape.cross_floor());
  EXPECT_EQ(hidden.used_bytes, hidden.moved_bytes);
}

// The search's own kernels read each logit from memory once; the rest of what they move is small.
TEST(Traffic, SearchReadsLogitsOnce) {
  StepShape shape;
  shape.sentences = 8;
  shape.steps = 6;
  shape.layers = 1;
  shape.vocab = 3000;
  MeteredModel model(shape);
  search::DecodeRequest request;
  request.options.no_repeat_ngram_size = 3;
  SourceBatch batch;
  batch.sentences.resize(usize(shape.sentences));
  request.batch = &batch;
  search::DecodePlan plan;
  plan.sentences = plan.places = shape.sentences;
  plan.beam = shape.beam;
  plan.max_len = shape.steps - 1;
  plan.max_lens.assign(usize(shape.sentences), plan.max_len);
  plan.vocab = shape.vocab;
  plan.max_rows = shape.rows();
  DecodeRun<Half> run = model.run(shape, std::vector<std::int64_t>(usize(shape.sentences), 12));
  SearchStart start = *plan_start(request, plan);
  Tracer& tracer = Tracer::instance();
  tracer.traffic.set_cache(64 << 10);  // a third of a step's logits
  tracer.measure_traffic = true;
  tracer.start();
  const bool took = start.take(run.read(start.prompts, 1.0F), request);
  const auto result = DeviceSearch<Half>(model.device, run, {request, plan, start, {}}).decode();
  tracer.stop();
  tracer.measure_traffic = false;
  ASSERT_TRUE(took);
  EXPECT_EQ(ssize(result.sentences.size()), shape.sentences);
  print_table();
  Traffic logits;
  Traffic others;
  for (const auto& [key, traffic] : tracer.traffic.traffic()) {
    if (key.array == "shared") continue;
    if (key.kernel == "vocabulary" && !key.writes) logits += traffic;
    if (kSearchKernels.contains(key.kernel)) others += traffic;
  }
  std::cout << "vocabulary needs " << logits.floor_bytes << ", reads of memory "
            << logits.memory_bytes << ", asks the cache for " << logits.moved_bytes
            << "; the other kernels of the search move " << others.moved_bytes << " bytes\n";
  EXPECT_LE(ratio(logits.memory_bytes, logits.floor_bytes), 1.1);
  EXPECT_GE(logits.floor_bytes, shape.rows() * shape.vocab * StepShape::kBytes);
  EXPECT_GT(others.moved_bytes, 0);
  EXPECT_LE(ratio(others.moved_bytes, logits.floor_bytes), 0.25);
}

// Without a cache the blocks that share a sentence's rows all count: the meter would see a launch
// order that does not bring them together.
TEST(Traffic, CacheIsWhatMakesItOnce) {
  StepShape shape;
  shape.sentences = 4;
  MeteredStep step(shape);
  step.launch(0);
  // The rows of a sentence are two blocks.
  EXPECT_EQ(total("hidden states", false).memory_bytes, 2 * shape.cross_floor());
}

// The lanes of a quarter of a warp read 16 bytes each, of 8 / lanes keys that follow each other.
TEST(Traffic, StagedRowsLieInDifferentBanks) {
  for (const kernels::GeometryShape& geometry : kernels::kGeometries) {
    for (const int size : {2, 4}) {
      const int columns = geometry.lanes * geometry.elements;
      const int stride =
          size * kernels::staged_stride(geometry.lanes, geometry.elements, columns, size);
      std::set<int> banks;
      for (int lane = 0; lane < 8; ++lane) {
        const int address = lane / geometry.lanes * stride + lane % geometry.lanes * 16;
        for (int word = 0; word < 4; ++word) banks.insert((address / 4 + word) % 32);
      }
      EXPECT_EQ(banks.size(), 32U) << geometry.lanes << " lanes, " << size << " bytes";
    }
  }
}

struct GeometryCase {
  Kind kind;
  std::int64_t dim;
  std::int64_t heads;
  int like = 80;
};

class GeometryTraffic : public testing::TestWithParam<GeometryCase> {};

// One case for each way that rows are spread over a warp.
TEST_P(GeometryTraffic, NoBankConflictsAndWholeSectors) {
  StepShape shape;
  shape.sentences = 1;
  shape.steps = 18;
  shape.layers = 1;
  shape.vocab = 8;
  shape.hidden = 8;
  shape.self_kind = shape.cross_kind = GetParam().kind;
  shape.dim = GetParam().dim;
  shape.heads = GetParam().heads;
  shape.like = GetParam().like;
  MeteredStep step(shape);
  step.launch(0);
  for (const auto& [key, traffic] : Tracer::instance().traffic.traffic()) {
    if (key.array == "shared" && key.kernel.ends_with("attention")) {
      std::cout << key.kernel << (key.writes ? " writes " : " reads ") << traffic.wavefronts
                << " wavefronts, " << traffic.ideal_wavefronts << " without conflicts\n";
      EXPECT_EQ(traffic.wavefronts, traffic.ideal_wavefronts) << key.kernel;
    }
  }
  for (const char* array : {"hidden states", "self cache"}) {
    const Traffic traffic = total(array, false);
    if (traffic.requests == 0) continue;  // multi-head attention has read the hidden states before
    EXPECT_GE(32.0 * ratio(traffic.used_bytes, traffic.moved_bytes), 28.0) << array;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, GeometryTraffic,
    testing::Values(GeometryCase{Kind::kMha, 64, 2}, GeometryCase{Kind::kMha, 128, 2},
                    GeometryCase{Kind::kEl, 128, 4}, GeometryCase{Kind::kEl, 256, 4},
                    GeometryCase{Kind::kEl, 512, 4}, GeometryCase{Kind::kEl, 768, 4},
                    GeometryCase{Kind::kEl, 1024, 4}, GeometryCase{Kind::kEl, 256, 4, 90},
                    GeometryCase{Kind::kEl, 512, 16, 90}, GeometryCase{Kind::kEl, 768, 4, 90},
                    GeometryCase{Kind::kEl, 1024, 8, 90}),
    [](const testing::TestParamInfo<GeometryCase>& shape) {
      return std::string(shape.param.kind == Kind::kEl ? "el" : "mha") +
             std::to_string(shape.param.dim / (shape.param.kind == Kind::kEl ? 1 : 2)) +
             (shape.param.like == 80 ? "" : "_sm_90");
    });

}  // namespace
}  // namespace elbeam::device
