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
  SourceBatch batch;
  batch.sentences.resize(usize(shape.sentences));
  request.batch = &batch;
  for (const std::int64_t length : GetParam().prefixes) {
    auto& prefix = request.prefix_tokens.emplace_back();
    for (std::int64_t t = 0; t < length; ++t) prefix.push_back(5 + (7 * t + length) % 50);
  }
  search::DecodePlan plan;
  plan.sentences = shape.sentences;
  plan.beam = shape.beam;
  plan.max_len = shape.steps - 1;
  plan.max_lens.assign(usize(shape.sentences), plan.max_len);
  plan.vocab = shape.vocab;
  plan.max_rows = shape.rows();
  for (const int schedule : {0, 3}) {
    DecodeRun<Half> run = model.run(shape, {11, 40, 3});
    SearchStart start = *plan_start(request, plan);
    kernels::emulated::set_schedule(schedule);
    ASSERT_TRUE(start.take(run.read(start.prompts, 1.0F), request));
    const auto result = DeviceSearch<Half>(model.device, run, request, plan, start).decode();
    kernels::emulated::set_schedule(0);
    for (const auto& sentence : result.sentences) EXPECT_FALSE(sentence.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(All, DeviceLoop,
                         testing::Values(LoopCase{"greedy_el", Kind::kEl, 1, 0, 20, {}},
                                         LoopCase{"beam_4_el", Kind::kEl, 4, 2, 20, {}},
                                         LoopCase{"beam_5_mha", Kind::kMha, 5, 3, 18, {}},
                                         LoopCase{"beam_20_mha", Kind::kMha, 20, 0, 5, {}},
                                         LoopCase{"prompts_el", Kind::kEl, 4, 2, 24, {5, 0, 9}},
                                         LoopCase{"prompts_mha", Kind::kMha, 3, 2, 22, {18, 1, 0}}),
                         [](const testing::TestParamInfo<LoopCase>& loop) {
                           return std::string(loop.param.name);
                         });

}  // namespace
}  // namespace elbeam::device
