// Checkpoints that fairseq-train wrote, where the folder with the shared models is at hand.
#include "archive/model_files.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace elbeam::test {
namespace {

TEST(SharedModels, AllAreReadWithModelAndTask) {
  const char* folder = std::getenv("ELBEAM_SHARED");
  const std::string root =
      folder != nullptr ? folder : std::string(ELBEAM_TEST_DATA) + "/../../../shared";
  if (!std::filesystem::exists(root + "/models")) {
    GTEST_SKIP() << "no shared models at " << root << "; set ELBEAM_SHARED";
  }
  int files = 0;
  for (const char* part : {"/models", "/reference/toy/ckpt"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root + part)) {
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

}  // namespace
}  // namespace elbeam::test
