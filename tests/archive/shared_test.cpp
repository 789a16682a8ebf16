// Checkpoints that fairseq-train wrote, where the folder with the shared models is at hand.
#include "archive/model_files.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace elbeam::test {
namespace {

class SharedModels : public testing::Test {
 protected:
  SharedModels() {
    const char* folder = std::getenv("ELBEAM_SHARED");
    root_ = folder != nullptr ? folder : std::string(ELBEAM_TEST_DATA) + "/../../../shared";
  }
  void SetUp() override {
    if (!std::filesystem::exists(root_ + "/models")) {
      GTEST_SKIP() << "no shared models at " << root_ << "; set ELBEAM_SHARED";
    }
  }
  std::string root_;
};

TEST_F(SharedModels, AllAreReadWithModelAndTask) {
  int files = 0;
  for (const char* part : {"/models", "/reference/toy/ckpt"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_ + part)) {
      if (entry.path().extension() != ".pt") continue;
      const auto file = Checkpoint::open(entry.path().string());
      EXPECT_GT(file->tensors().size(), 30U) << entry.path();
      EXPECT_EQ(file->tensors().count("decoder.embed_tokens.weight"), 1U) << entry.path();
      for (const char* key : {"model", "task"}) {
        EXPECT_TRUE(file->config().at(key).is_object()) << entry.path() << " " << key;
      }
      ++files;
    }
  }
  EXPECT_GE(files, 10);
}

// tests/data/archive/make.py wrote down what torch reads.
TEST_F(SharedModels, EveryTensorIsWhatTorchReads) {
  const auto file = Checkpoint::open(root_ + "/models/multi30k_de_en/checkpoint_best.pt");
  const auto sums = nlohmann::json::parse(
      read_file(std::string(ELBEAM_TEST_DATA) + "/archive/multi30k_sums.json"));
  EXPECT_EQ(file->tensors().size(), sums.size());
  for (const auto& [name, view] : file->tensors()) {
    ASSERT_TRUE(view.is_contiguous()) << name;
    const auto bytes =
        static_cast<std::size_t>(view.element_count() * archive::tensor_type_size(view.type));
    const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(view.data), bytes);
    EXPECT_EQ(sums.at(name),
              nlohmann::json({archive::tensor_type_name(view.type), view.shape, crc}))
        << name;
  }
}

}  // namespace
}  // namespace elbeam::test
