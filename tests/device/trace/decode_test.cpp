// The whole loop of the device, step after step until all sentences have ended, with every access
// watched: kernels follow one another with what the last ones left.
#include "device/device_search.hpp"
#include "device/trace/metered_step.hpp"

namespace elbeam::device {
namespace {

struct LoopCase {
  const char* name;
  Kind kind;
  std::int64_t beam;
  std::int64_t ngram;
  std::int64_t steps;
  std::vector<std::int64_t> prefixes;  // lengths of what the hypotheses are forced to begin with
  std::int64_t waiting = 0;            // sentences that begin in the places of the first three
};

class DeviceLoop : public testing::TestWithParam<LoopCase> {};

TEST_P(DeviceLoop, HasNoRaces) {
  StepShape shape;
  shape.sentences = 3;
  shape.beam = GetParam().beam;
  shape.dim = 32;
  shape.heads = 4;
  shape.hidden = 64;
  shape.vocab = 60;
  shape.steps = GetParam().steps;
  shape.self_kind = shape.cross_kind = GetParam().kind;
  shape.prompts = !GetParam().prefixes.empty();
  MeteredModel model(shape);
  Tracer::instance().guard_bytes = 0;  // arrays of a device have none
  search::DecodeRequest request;
  request.options.no_repeat_ngram_size = GetParam().ngram;
  const std::int64_t sentences = shape.sentences + GetParam().waiting;
  std::vector<std::int64_t> lengths{11, 40, 3};
  SourceBatch batch;
  for (std::int64_t s = 0; s < sentences; ++s) {
    if (s >= ssize(lengths.size())) lengths.push_back(2 + 7 * s % 17);
    batch.sentences.emplace_back(usize(lengths[usize(s)]), 5);
  }
  request.batch = &batch;
  for (const std::int64_t length : GetParam().prefixes) {
    auto& prefix = request.prefix_tokens.emplace_back();
    for (std::int64_t t = 0; t < length; ++t) prefix.push_back(5 + (7 * t + length) % 50);
  }
  search::DecodePlan plan;
  plan.sentences = sentences;
  plan.places = shape.sentences;
  plan.beam = shape.beam;
  plan.max_len = shape.steps - 1;
  for (std::int64_t s = 0; s < sentences; ++s)
    plan.max_lens.push_back(plan.max_len - (plan.places < sentences ? 3 * s % 7 : 0));
  plan.vocab = shape.vocab;
  plan.max_rows = shape.rows();
  for (const int schedule : {0, 3}) {
    DecodeRun<Half> run = model.run(shape, {11, 40, 3}, GetParam().waiting > 0 ? 2 : 1);
    const auto encode = [&](std::span<const SourceAt> next) { model.put(run.sources(), next); };
    SearchStart start = *plan_start(request, plan);
    kernels::emulated::set_schedule(schedule);
    ASSERT_TRUE(start.take(run.read(start.prompts, 1.0F), request));
    const auto result =
        DeviceSearch<Half>(model.device, run, {request, plan, start, encode}).decode();
    kernels::emulated::set_schedule(0);
    EXPECT_EQ(ssize(result.sentences.size()), sentences);
    for (const auto& sentence : result.sentences) EXPECT_FALSE(sentence.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(All, DeviceLoop,
                         testing::Values(LoopCase{"greedy_el", Kind::kEl, 1, 0, 20, {}},
                                         LoopCase{"beam_4_el", Kind::kEl, 4, 2, 20, {}},
                                         LoopCase{"beam_5_mha", Kind::kMha, 5, 3, 18, {}},
                                         LoopCase{"beam_20_mha", Kind::kMha, 20, 0, 5, {}},
                                         LoopCase{"refilled_el", Kind::kEl, 4, 2, 14, {}, 4},
                                         LoopCase{"refilled_mha", Kind::kMha, 2, 0, 20, {}, 5},
                                         LoopCase{"prompts_el", Kind::kEl, 4, 2, 24, {5, 0, 9}},
                                         LoopCase{"prompts_mha", Kind::kMha, 3, 2, 22, {18, 1, 0}}),
                         [](const testing::TestParamInfo<LoopCase>& loop) {
                           return std::string(loop.param.name);
                         });

}  // namespace
}  // namespace elbeam::device
