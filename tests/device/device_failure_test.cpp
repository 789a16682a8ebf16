// What a model on a device does where its memory does not do, and where the device fails.
#include "archive/checkpoint.hpp"
#include "device/device_pool.hpp"
#include "device/frail_device.hpp"
#include "support/test_paths.hpp"

#include <gtest/gtest.h>

#include <string>

namespace elbeam::device {
namespace {

std::unique_ptr<DeviceModel> load(const std::shared_ptr<Device>& device) {
  return load_device_model(
      archive::Checkpoint::open(std::string(test::kDataFolder) + "/toy/ckpt/tf.pt"), {}, device);
}

// A search over some short sentences.
struct Job {
  explicit Job(std::size_t sentences) {
    batch.sentences.assign(sentences, {5, 9, 4, 7, 2});
    batch.padded_length = 5;
    request.batch = &batch;
    request.options.max_len_b = 12;
  }
  SourceBatch batch;
  search::DecodeRequest request;
};

// The message of an error with this code.
template <typename Function>
std::string message(ErrorCode code, Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(DeviceMemory, WeightsThatDoNotFit) {
  const auto device = std::make_shared<FrailDevice>();
  device->memory = 1000;
  const std::string text = message(ErrorCode::kOutOfMemory, [&] { load(device); });
  EXPECT_NE(text.find("tf.pt: its weights need about "), std::string::npos) << text;
  EXPECT_NE(text.find("which has 1000 free"), std::string::npos) << text;
}

// A batch that does not fit is refused before any of it is taken; a smaller one goes on.
TEST(DeviceMemory, BatchesThatDoNotFit) {
  const auto device = std::make_shared<FrailDevice>();
  const auto model = load(device);
  const Job one(1);
  const Job eight(8);
  for (device->memory = 1000; device->memory < std::int64_t{1} << 30; device->memory *= 2) {
    try {
      model->decode(one.request);
      break;
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kOutOfMemory) << error.what();
    }
  }
  EXPECT_EQ(model->decode(one.request).sentences.size(), 1U);
  const std::string text = message(ErrorCode::kOutOfMemory, [&] { model->decode(eight.request); });
  EXPECT_NE(text.find("a batch of 8 sentences with a beam of 5"), std::string::npos) << text;
  EXPECT_NE(text.find("use a smaller --batch-size"), std::string::npos) << text;
  // The host's searches take the same memory.
  EXPECT_FALSE(message(ErrorCode::kOutOfMemory, [&] {
                 model->start(eight.batch, {5, 13});
               }).empty());
  EXPECT_EQ(model->decode(one.request).sentences.size(), 1U);
}

TEST(DevicePool, AFailureGivesTheDeviceBack) {
  const auto device = std::make_shared<FrailDevice>();
  std::vector<std::unique_ptr<DeviceModel>> models;
  models.push_back(load(device));
  const auto pool = make_device_pool(std::move(models));
  const Job job(2);
  device->steps_left = 2;
  EXPECT_NE(message(ErrorCode::kDevice, [&] { pool->decode(job.request); }).find("launch failure"),
            std::string::npos);
  // A device of CUDA would go on failing; nobody waits for it for ever.
  EXPECT_FALSE(message(ErrorCode::kDevice, [&] { pool->decode(job.request); }).empty());
  device->steps_left = 1000;
  EXPECT_EQ(pool->decode(job.request).sentences.size(), 2U);
  EXPECT_NE(pool->start(job.batch, {5, 13}), nullptr);
  EXPECT_NE(pool->start(job.batch, {5, 13}), nullptr);  // the one before has gone
}

}  // namespace
}  // namespace elbeam::device
