// Heap allocations of a decoding step: none, once the buffers have grown. The C library's functions
// are replaced, so that everything is counted: containers, aligned buffers, LibTorch if it were
// there.
#include "attention/self_cache.hpp"
#include "model/transformer.hpp"
#include "search/decode_loop.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ELBEAM_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ELBEAM_COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef ELBEAM_COUNTS_ALLOCATIONS
#define ELBEAM_COUNTS_ALLOCATIONS 1
#endif

namespace {

std::atomic<std::int64_t> g_allocations{0};

}  // namespace

#if ELBEAM_COUNTS_ALLOCATIONS
extern "C" {
// glibc's own names of the functions that are replaced here.
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* pointer, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) {
  ++g_allocations;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  ++g_allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* pointer, std::size_t size) {
  ++g_allocations;
  return __libc_realloc(pointer, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  ++g_allocations;
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** pointer, std::size_t alignment, std::size_t size) {
  ++g_allocations;
  *pointer = __libc_memalign(alignment, size);
  return *pointer == nullptr ? ENOMEM : 0;
}
}
#endif

namespace elbeam::model {
namespace {

// Passes steps on to a state and notes how many allocations there had been when each one began.
class CountingState final : public DecodeState {
 public:
  CountingState(std::unique_ptr<DecodeState> inner, std::vector<std::int64_t>& begun,
                std::vector<std::int64_t>& rows)
      : inner_(std::move(inner)), begun_(begun), rows_(rows) {}

  void step(const StepInput& input, const StepOutput& output) override {
    begun_.push_back(g_allocations);
    rows_.push_back(static_cast<std::int64_t>(input.tokens.size()));
    inner_->step(input, output);
  }

 private:
  std::unique_ptr<DecodeState> inner_;
  std::vector<std::int64_t>& begun_;
  std::vector<std::int64_t>& rows_;
};

class CountingModel final : public StepModel {
 public:
  explicit CountingModel(StepModel& inner) : inner_(inner) {
    begun.reserve(1000);
    rows.reserve(1000);
  }

  std::int64_t vocab_size() const override { return inner_.vocab_size(); }
  std::int64_t max_decoder_positions() const override { return inner_.max_decoder_positions(); }
  std::int64_t max_source_positions() const override { return inner_.max_source_positions(); }
  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    return std::make_unique<CountingState>(inner_.start(batch, shape), begun, rows);
  }

  std::vector<std::int64_t> begun;  // allocations at the beginning of each step
  std::vector<std::int64_t> rows;   // of each step

 private:
  StepModel& inner_;
};

struct Way {
  Attention attention = Attention::kAuto;
  int threads = 1;
};

void PrintTo(const Way& way, std::ostream* out) {
  *out << (way.attention == Attention::kEl ? "EL" : "multi-head") << ", " << way.threads
       << " threads";
}

class Allocations : public testing::TestWithParam<Way> {};

// Model and search together, from the begin of a step to that of the next one.
TEST_P(Allocations, NoneInASteadyStep) {
  if (ELBEAM_COUNTS_ALLOCATIONS == 0) GTEST_SKIP() << "a sanitizer has its own allocator";
  const auto path = std::filesystem::path(ELBEAM_TEST_DATA) / "squad_qg_bart" / "checkpoint.pt";
  TransformerOptions options;
  options.attention = GetParam().attention;
  options.threads = GetParam().threads;
  const auto model = load_transformer(archive::Checkpoint::open(path.string()), options);
  CountingModel counting(*model);
  SourceBatch batch;
  for (std::int64_t length = 5; length < 20; length += 4) {
    std::vector<std::int64_t> sentence;
    for (std::int64_t i = 1; i < length; ++i) sentence.push_back(10 + 37 * i + length);
    sentence.push_back(2);
    batch.sentences.push_back(std::move(sentence));
  }
  batch.padded_length = 17;
  search::DecodeRequest request;
  request.batch = &batch;
  request.options.beam = 4;
  request.options.no_repeat_ngram_size = 3;
  request.options.min_len = 60;
  request.options.max_len_b = 60;  // nothing ends before
  const auto result = search::decode(counting, request);
  ASSERT_EQ(result.sentences.size(), batch.sentences.size());
  ASSERT_EQ(counting.begun.size(), 61U);
  // The first steps find out how much room is needed; the caches grow by a page of steps.
  constexpr std::int64_t kFirst = 3;
  std::int64_t pages = 0;
  for (std::int64_t step = kFirst; step + 1 < 60; ++step) {
    const std::int64_t count = counting.begun[static_cast<std::size_t>(step + 1)] -
                               counting.begun[static_cast<std::size_t>(step)];
    if (step % attention::SelfCache<float>::kPageSteps == 0) {
      pages += count;
    } else {
      EXPECT_EQ(count, 0) << "step " << step;
    }
  }
  EXPECT_GT(pages, 0) << "nothing was counted";
}

INSTANTIATE_TEST_SUITE_P(Ways, Allocations,
                         testing::Values(Way{Attention::kEl, 1}, Way{Attention::kMha, 1},
                                         Way{Attention::kEl, 2}, Way{Attention::kMha, 2}));

}  // namespace
}  // namespace elbeam::model
