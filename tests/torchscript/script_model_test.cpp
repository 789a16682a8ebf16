// The TorchScript engine against log-probabilities of stock fairseq, and its answers to bad input.
#include <elbeam/generator.hpp>

#include "base/checked_math.hpp"
#include "runtime/script_engine.hpp"
#include "support/errors.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace elbeam {
namespace {

using test::throws;
using torchscript::ScriptModelOptions;

constexpr std::int64_t kVocabulary = 40;
const std::string kFolder = std::string(ELBEAM_TEST_DATA) + "/torchscript/";

// tf: Transformer. adaptive, adaptive_lm: adaptive softmax, the latter with adaptive input.
const std::vector<std::string> kModels{"tf", "lm", "adaptive_lm", "adaptive", "lstm"};

bool has_source(const std::string& model) { return !model.ends_with("lm"); }

ScriptModelOptions archive_options(const std::string& model = "tf") {
  ScriptModelOptions options;
  options.path = kFolder + model + ".ts.pt";
  options.has_encoder = has_source(model);
  options.source_vocab_size = options.target_vocab_size = kVocabulary;
  options.max_source_positions = options.max_target_positions = 1024;
  options.threads = 1;
  return options;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct Step {
  std::vector<std::int64_t> tokens;
  std::vector<std::int64_t> parents;
  std::vector<float> log_probs;  // stock's, [rows, kVocabulary]
  std::vector<float> attention;  // stock's, [rows, longest], columns as StepOutput has them
};

struct Batch {
  SourceBatch source;
  double temperature = 1.0;
  std::vector<Step> steps;
};

// The values of a reference one after the other.
class Values {
 public:
  explicit Values(const std::string& path) : bytes_(read_file(path)) {}
  std::vector<float> next(std::size_t count) {
    std::vector<float> result(count);
    EXPECT_LE(at_ + count * sizeof(float), bytes_.size());
    std::memcpy(result.data(), bytes_.data() + at_, count * sizeof(float));
    at_ += count * sizeof(float);
    return result;
  }
  bool at_end() const { return at_ == bytes_.size(); }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

// Stock pads sources on the left; StepOutput's columns begin with the sentence.
std::vector<float> without_left_padding(const std::vector<float>& padded, const Step& step,
                                        const Batch& batch) {
  const std::vector<Step>& before = batch.steps;
  const std::size_t longest = usize(batch.source.padded_length);
  std::vector<float> result(padded.size(), 0.0F);
  for (std::size_t row = 0; row < step.parents.size(); ++row) {
    std::int64_t origin = step.parents[row];  // at last the sentence's number
    for (std::size_t s = before.size(); s-- > 0;) origin = before[s].parents[usize(origin)];
    const std::size_t length = batch.source.sentences[usize(origin)].size();
    std::copy_n(&padded[row * longest + longest - length], length, &result[row * longest]);
  }
  return result;
}

// What tests/data/torchscript/make_reference.py wrote.
std::vector<Batch> read_reference(const std::string& model = "tf") {
  Values values(kFolder + model + ".f32");
  std::vector<Batch> batches;
  for (const auto& stored : nlohmann::json::parse(read_file(kFolder + model + ".json"))) {
    Batch batch;
    stored.at("sentences").get_to(batch.source.sentences);
    for (const auto& sentence : batch.source.sentences) {
      batch.source.padded_length = std::max(batch.source.padded_length, ssize(sentence.size()));
    }
    stored.at("temperature").get_to(batch.temperature);
    for (const auto& stored_step : stored.at("steps")) {
      Step step;
      stored_step.at("tokens").get_to(step.tokens);
      stored_step.at("parents").get_to(step.parents);
      step.log_probs = values.next(step.tokens.size() * kVocabulary);
      if (has_source(model)) {
        const auto padded = values.next(step.tokens.size() * usize(batch.source.padded_length));
        step.attention = without_left_padding(padded, step, batch);
      }
      batch.steps.push_back(std::move(step));
    }
    batches.push_back(std::move(batch));
  }
  EXPECT_TRUE(values.at_end());
  return batches;
}

float largest_difference(const std::vector<float>& found, const std::vector<float>& expected) {
  EXPECT_EQ(found.size(), expected.size());
  float worst = 0.0F;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const float difference = std::fabs(found[i] - expected[i]);
    if (!(difference <= worst)) worst = difference;  // NaN counts
  }
  return worst;
}

// The largest difference from stock's log-probabilities and attention over all steps of a batch.
float difference_from_stock(StepModel& model, const Batch& batch) {
  DecodeShape shape;
  shape.beam = 5;
  shape.max_steps = ssize(batch.steps.size());
  shape.temperature = batch.temperature;
  shape.attention = model.has_encoder();
  const auto state = model.start(batch.source, shape);
  float worst = 0.0F;
  for (const Step& step : batch.steps) {
    std::vector<float> log_probs(step.log_probs.size(), std::nanf(""));
    std::vector<float> attention(step.attention.size(), std::nanf(""));
    state->step({step.tokens, step.parents}, {log_probs, attention});
    for (const float found : {largest_difference(log_probs, step.log_probs),
                              largest_difference(attention, step.attention)}) {
      if (!(found <= worst)) worst = found;
    }
  }
  return worst;
}

TEST(ScriptModel, LogProbsAndAttentionAreStocks) {
  for (const std::string& name : kModels) {
    SCOPED_TRACE(name);
    const std::vector<Batch> batches = read_reference(name);
    ASSERT_EQ(batches.size(), 3U);
    for (const DType dtype : {DType::kFp32, DType::kFp64}) {
      ScriptModelOptions options = archive_options(name);
      options.dtype = dtype;
      const auto model = runtime::load_script_engine(options);
      EXPECT_EQ(model->vocab_size(), kVocabulary);
      EXPECT_EQ(model->has_encoder(), has_source(name));
      for (const Batch& batch : batches) EXPECT_LE(difference_from_stock(*model, batch), 1e-5F);
    }
  }
}

// An archive says all that the facade needs; adaptive input has no single matrix to count words by.
TEST(ScriptModel, ArchivesDescribeThemselves) {
  for (const std::string& name : kModels) {
    LoadOptions options;
    options.model_path = kFolder + name + ".ts.pt";
    options.engine = Engine::kTorchScript;
    const Generator generator(options);
    EXPECT_EQ(generator.model_info().target_vocab_size, kVocabulary) << name;
    EXPECT_EQ(generator.model_info().source_vocab_size, kVocabulary) << name;
  }
}

TEST(ScriptModel, LanguageModelsIgnoreSourcesAndHaveNoAttention) {
  const auto model = runtime::load_script_engine(archive_options("lm"));
  Batch batch = read_reference("lm").at(0);
  for (auto& sentence : batch.source.sentences) sentence.clear();
  EXPECT_LE(difference_from_stock(*model, batch), 1e-5F);
  DecodeShape shape;
  shape.attention = true;
  const auto state = model->start(batch.source, shape);
  const Step& step = batch.steps.front();
  std::vector<float> log_probs(step.log_probs.size());
  std::vector<float> attention(step.tokens.size());
  EXPECT_TRUE(throws(ErrorCode::kUnsupported, "reads no source", [&] {
    state->step({step.tokens, step.parents}, {log_probs, attention});
  }));
}

// The comparison above must notice histories that are mixed up.
TEST(ScriptModel, AnotherParentGivesOtherLogProbs) {
  const auto model = runtime::load_script_engine(archive_options());
  Batch batch = read_reference().at(2);
  std::vector<std::int64_t>& parents = batch.steps.at(3).parents;
  std::transform(parents.begin(), parents.end(), parents.begin(),
                 [](std::int64_t parent) { return (parent + 1) % 5; });
  EXPECT_GT(difference_from_stock(*model, batch), 1e-3F);
}

TEST(ScriptModel, StatesOfOneModelRunInSeveralThreads) {
  const std::vector<Batch> batches = read_reference();
  const auto model = runtime::load_script_engine(archive_options());
  std::vector<float> worst(4, std::nanf(""));
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < worst.size(); ++t) {
    threads.emplace_back([&, t] {
      float largest = 0.0F;
      for (std::size_t round = 0; round < 6; ++round) {
        const Batch& batch = batches[(t + round) % batches.size()];
        largest = std::max(largest, difference_from_stock(*model, batch));
      }
      worst[t] = largest;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const float largest : worst) EXPECT_LE(largest, 1e-5F);
}

// OpenMP's own answer, from the library that the plug-in has loaded.
int threads_of_loops() {
  void* openmp = ::dlopen("libgomp.so.1", RTLD_NOW | RTLD_NOLOAD);
  EXPECT_NE(openmp, nullptr) << ::dlerror();
  if (openmp == nullptr) return -1;
  const auto ask = reinterpret_cast<int (*)()>(::dlsym(openmp, "omp_get_max_threads"));
  const int threads = ask == nullptr ? -1 : ask();
  ::dlclose(openmp);
  return threads;
}

TEST(ScriptModel, ThreadsAreWhatWasAskedForWhoeverDecodes) {
  const Batch batch = read_reference().at(0);
  for (const int wanted : {3, 1}) {
    ScriptModelOptions options = archive_options();
    options.threads = wanted;
    const auto model = runtime::load_script_engine(options);
    EXPECT_EQ(threads_of_loops(), wanted);
    int elsewhere = 0;
    std::thread([&] {
      model->start(batch.source, DecodeShape{});
      elsewhere = threads_of_loops();
    }).join();
    EXPECT_EQ(elsewhere, wanted);
  }
}

class BadInput : public testing::Test {
 protected:
  std::unique_ptr<DecodeState> start(std::vector<std::int64_t> sentence) {
    SourceBatch batch;
    batch.padded_length = ssize(sentence.size());
    batch.sentences = {{5, 6, 2}, std::move(sentence)};
    DecodeShape shape;
    shape.beam = 2;
    shape.max_steps = 2;
    return model_->start(batch, shape);
  }

  std::unique_ptr<StepModel> model_ = runtime::load_script_engine(archive_options());
};

TEST_F(BadInput, SourcesAreRefused) {
  EXPECT_TRUE(throws(ErrorCode::kModel, "token id 40", [&] { start({40, 2}); }));
  EXPECT_TRUE(throws(ErrorCode::kModel, "token id -1", [&] { start({-1, 2}); }));
  EXPECT_TRUE(throws(ErrorCode::kModel, "padding symbol", [&] { start({1, 2}); }));
  EXPECT_TRUE(throws(ErrorCode::kModel, "sentence 1 of the batch", [&] { start({}); }));
  EXPECT_TRUE(throws(ErrorCode::kModel, "expected 1 to 1024 tokens, got 1025",
                     [&] { start(std::vector<std::int64_t>(1025, 5)); }));
  EXPECT_TRUE(throws(ErrorCode::kModel, "no sentences",
                     [&] { model_->start(SourceBatch{}, DecodeShape{}); }));
}

TEST_F(BadInput, StepsAreRefused) {
  using Ids = std::vector<std::int64_t>;
  const auto state = start({7, 2});
  const auto step = [&](const Ids& tokens, const Ids& parents, std::size_t rows) {
    std::vector<float> log_probs(rows * kVocabulary);
    state->step({tokens, parents}, {log_probs});
  };
  EXPECT_TRUE(throws(ErrorCode::kModel, "token id 40", [&] { step({40}, {0}, 1); }));
  EXPECT_TRUE(throws(ErrorCode::kInternal, "", [&] { step({2}, {2}, 1); }));
  EXPECT_TRUE(throws(ErrorCode::kInternal, "", [&] { step({2}, {-1}, 1); }));
  EXPECT_TRUE(throws(ErrorCode::kInternal, "", [&] { step({2, 2}, {0}, 2); }));
  EXPECT_TRUE(throws(ErrorCode::kInternal, "", [&] { step({2, 2}, {0, 1}, 1); }));
  EXPECT_TRUE(throws(ErrorCode::kInternal, "", [&] { step({}, {}, 0); }));
  // None of these counted as a step: there are two.
  step({2, 2}, {0, 1}, 2);
  EXPECT_TRUE(throws(ErrorCode::kInternal, "", [&] { step({5}, {2}, 1); }));
  step({5}, {1}, 1);
  EXPECT_TRUE(throws(ErrorCode::kInternal, "", [&] { step({5}, {0}, 1); }));
}

TEST(ScriptModelFile, WhatIsNoArchiveOfOursIsRefused) {
  ScriptModelOptions options = archive_options();
  options.path = kFolder + "tf.json";
  EXPECT_TRUE(throws(ErrorCode::kModel,
                     options.path + ": LibTorch: ", [&] { runtime::load_script_engine(options); }));
  options.path =
      std::string(ELBEAM_TEST_DATA) + "/archive/script.ts.pt";  // scripted, with forward() alone
  EXPECT_TRUE(
      throws(ErrorCode::kModel, "no method step", [&] { runtime::load_script_engine(options); }));
  options.path = testing::TempDir() + "elbeam_no_such_archive.ts.pt";
  EXPECT_TRUE(
      throws(ErrorCode::kModel, options.path, [&] { runtime::load_script_engine(options); }));
}

// A model that does not have the size it was said to have: the error is LibTorch's, in one line.
TEST(ScriptModelFile, ErrorsOfTheInterpreterAreOneLine) {
  ScriptModelOptions options = archive_options();
  options.source_vocab_size = options.target_vocab_size = kVocabulary + 1;
  const auto model = runtime::load_script_engine(options);
  SourceBatch batch;
  batch.sentences = {{kVocabulary, 2}};
  batch.padded_length = 2;
  try {
    model->start(batch, DecodeShape{});
    FAIL() << "a token outside the embedding was encoded";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.code(), ErrorCode::kModel);
    EXPECT_NE(message.find("index out of range"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  batch.sentences = {{5, 2}};
  const auto state = model->start(batch, DecodeShape{});
  const std::vector<std::int64_t> token{2};
  const std::vector<std::int64_t> parent{0};
  std::vector<float> log_probs(kVocabulary + 1);
  EXPECT_TRUE(throws(ErrorCode::kModel, "logits of shape [1, 40], expected [1, 41]", [&] {
    state->step({token, parent}, {log_probs});
  }));
}

}  // namespace
}  // namespace elbeam
