// EL-attention of a step's rows in slices, as much at a time as the second-level cache keeps.
#include "archive/checkpoint.hpp"
#include "device/device_model.hpp"
#include "device/emulated_device.hpp"
#include "support/test_paths.hpp"

#include <gtest/gtest.h>

#include <string>

namespace elbeam::device {
namespace {

TEST(Slices, FillTheMultiprocessorsAndTheCache) {
  kernels::DeviceLimits limits;
  limits.multiprocessors = 132;
  limits.all_shared_bytes = 227 << 10;
  limits.warpgroups = limits.tensor_cores = true;
  limits.cache_bytes = 50 << 20;
  // 16 heads of a beam of 4 are one block of 64 rows, on two multiprocessors: 66 sentences at once.
  const auto plan = kernels::plan_contiguous({1024, 64, 4, 2, true}, limits);
  const std::int64_t row_bytes = 2 * 16 * 1024 * 2;
  const auto rows_of = [&](std::int64_t rows) {
    return kernels::plan_slice({rows, 4, row_bytes, 16}, plan, limits);
  };
  EXPECT_EQ(rows_of(1280), 4 * 66);
  EXPECT_EQ(rows_of(400), 400);  // 25 MB
  EXPECT_EQ(rows_of(404), 4 * 66);
  limits.cache_bytes = 70 << 20;
  EXPECT_EQ(rows_of(1280), 8 * 66);
  limits.cache_bytes = 30 << 20;  // does not hold what all multiprocessors need
  EXPECT_EQ(rows_of(1280), 1280);
  limits.cache_bytes = 0;
  EXPECT_EQ(rows_of(1280), 1280);
}

struct SliceCase {
  const char* name;
  bool half;
  int like;
  std::int64_t beam;
  std::int64_t prefix;
  std::int64_t cache_kib;   // that makes two slices, or more
  std::int64_t places = 0;  // fewer than sentences: these begin in different steps
};

class Slices : public testing::TestWithParam<SliceCase> {};

// Tokens, with a second-level cache of so many bytes.
std::vector<std::vector<std::vector<std::int64_t>>> decode(const SliceCase& c, std::int64_t cache) {
  model::TransformerOptions options;
  options.half = c.half;
  options.attention = Attention::kEl;
  const auto model = load_device_model(
      archive::Checkpoint::open(std::string(test::kDataFolder) + "/toy/ckpt/tf.pt"), options,
      make_emulated_device(c.like, cache));
  SourceBatch batch;
  const std::int64_t sentences = c.places > 0 ? 24 : 11;
  for (std::int64_t s = 0; s < sentences; ++s) {
    auto& sentence = batch.sentences.emplace_back();
    for (std::int64_t t = 0; t < 3 + s * 5 % 11; ++t) sentence.push_back(4 + (7 * t + s) % 9);
    sentence.push_back(2);
    batch.padded_length = std::max(batch.padded_length, ssize(sentence.size()));
  }
  search::DecodeRequest request;
  request.batch = &batch;
  request.options.beam = c.beam;
  request.options.max_len_a = 0.3;
  request.options.max_len_b = 4;
  if (c.places > 0) {
    request.places = c.places;
    request.options.max_len_a = 1.0;  // each sentence's own: they end at different steps
    for (const auto& sentence : batch.sentences)
      batch.padded_lengths.push_back(ssize(sentence.size()));
  }
  for (std::int64_t s = 0; c.prefix > 0 && s < sentences; ++s)
    request.prefix_tokens.emplace_back(usize(s % (c.prefix + 1)), 6);
  EXPECT_TRUE(model->decodes(request));
  std::vector<std::vector<std::vector<std::int64_t>>> tokens;
  for (const auto& sentence : model->decode(request).sentences) {
    auto& best = tokens.emplace_back();
    for (const auto& hypothesis : sentence) best.push_back(hypothesis.tokens);
  }
  return tokens;
}

TEST_P(Slices, GiveTheSameTokens) {
  EXPECT_EQ(decode(GetParam(), GetParam().cache_kib << 10), decode(GetParam(), 1 << 30));
}

INSTANTIATE_TEST_SUITE_P(All, Slices,
                         testing::Values(SliceCase{"greedy", false, 80, 1, 0, 18},
                                         SliceCase{"beam_8", false, 80, 8, 0, 150},
                                         SliceCase{"tensor_cores", true, 80, 8, 0, 75},
                                         SliceCase{"sm_90", true, 90, 8, 0, 75},
                                         SliceCase{"prefixes", false, 80, 8, 3, 150},
                                         SliceCase{"prefixes_sm_90", true, 90, 8, 3, 75},
                                         SliceCase{"refilled", false, 80, 8, 0, 270, 17}),
                         [](const testing::TestParamInfo<SliceCase>& c) {
                           return std::string(c.param.name);
                         });

}  // namespace
}  // namespace elbeam::device
