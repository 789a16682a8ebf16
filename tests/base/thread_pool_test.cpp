#include "base/thread_pool.hpp"

#include <elbeam/error.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

namespace elbeam {
namespace {

TEST(ThreadPool, EveryTaskRunsOnceInEachOfManyLoops) {
  for (const int threads : {1, 2, 7}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (std::int64_t tasks = 0; tasks < 400; ++tasks) {
      std::vector<int> runs(static_cast<std::size_t>(tasks), 0);
      pool.parallel_for(tasks, [&](std::int64_t task) { ++runs[static_cast<std::size_t>(task)]; });
      ASSERT_EQ(std::accumulate(runs.begin(), runs.end(), 0), tasks);
      for (const int count : runs) ASSERT_EQ(count, 1);
    }
  }
}

TEST(ThreadPool, TheFirstExceptionReachesTheCallerAndThePoolGoesOn) {
  ThreadPool pool(3);
  for (int round = 0; round < 50; ++round) {
    EXPECT_THROW(pool.parallel_for(20,
                                   [](std::int64_t task) {
                                     if (task % 7 == 3) throw Error(ErrorCode::kModel, "task");
                                   }),
                 Error);
    std::atomic<int> runs{0};
    pool.parallel_for(20, [&](std::int64_t) { ++runs; });
    EXPECT_EQ(runs.load(), 20);
  }
}

TEST(ThreadPool, SeveralCallersShareIt) {
  ThreadPool pool(2);
  std::atomic<int> runs{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round)
        pool.parallel_for(10, [&](std::int64_t) { ++runs; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(runs.load(), 4 * 200 * 10);
}

TEST(ThreadPool, LoopsInsideLoopsRunOnTheirCaller) {
  ThreadPool pool(3);
  std::atomic<int> runs{0};
  pool.parallel_for(8, [&](std::int64_t) { pool.parallel_for(8, [&](std::int64_t) { ++runs; }); });
  EXPECT_EQ(runs.load(), 64);
}

TEST(ThreadPool, RefusesImpossibleCounts) {
  EXPECT_THROW(ThreadPool(-1), Error);
  EXPECT_THROW(ThreadPool(100000), Error);
}

}  // namespace
}  // namespace elbeam
